"""playground: who may ask, what a run does, the form's config; no browser."""

import asyncio
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest
from mmengine.config import Config

from fbnetv3_mmdet.cli import load_config
from fbnetv3_mmdet.deploy.int8 import FileFigures, Report
from fbnetv3_mmdet.deploy.int8.choose import Choice
from fbnetv3_mmdet.paths import get_setting
from fbnetv3_mmdet.playground import exports, jobs
from fbnetv3_mmdet.playground import runs as folders
from fbnetv3_mmdet.playground.app import Playground
from fbnetv3_mmdet.playground.client import Engine
from fbnetv3_mmdet.playground.detecting import _hits
from fbnetv3_mmdet.playground.estimates import find_cost
from fbnetv3_mmdet.playground.following import POINTS, Log
from fbnetv3_mmdet.playground.forms import (
    CONFIGS,
    DEFAULTS,
    DIGITS,
    FORM,
    GROUPS,
    NORMS,
    config_text,
    defaults,
    find_data,
    kind_faults,
)
from fbnetv3_mmdet.playground.guard import MAX_BODY, Guard
from fbnetv3_mmdet.playground.jobs import TAIL
from fbnetv3_mmdet.playground.overlay import overlay
from fbnetv3_mmdet.playground.searches import begin, find_searches, train
from fbnetv3_mmdet.playground.seeds import verdict, without_seed
from fbnetv3_mmdet.playground.supervise import _take
from fbnetv3_mmdet.search.options import read_options

pytestmark = pytest.mark.same_on_upstream
PORT, KEY = 8123, 'k' * 43
HOST = f'127.0.0.1:{PORT}'
COOKIE = {'cookie': f'playground_{PORT}={KEY}'}


async def app(scope, receive, send):
    """Answers whatever comes through."""
    if scope['type'] == 'websocket':
        await send({'type': 'websocket.accept'})
        return
    await send({'type': 'http.response.start', 'status': 200, 'headers': []})
    await send({'type': 'http.response.body', 'body': b'in'})


def ask(path='/', method='GET', query='', kind='http', host=HOST, **headers):
    """Return the messages that a request is answered with."""
    sent = []
    headers = {'host': host, **headers}
    scope = dict(
        type=kind,
        method=method,
        path=path,
        query_string=query.encode(),
        headers=[
            (name.replace('_', '-').encode(), value.encode())
            for name, value in headers.items()
        ],
    )

    async def receive():
        return {'type': 'websocket.connect'}

    async def send(message):
        sent.append(message)

    asyncio.run(Guard(app, PORT, KEY)(scope, receive, send))
    return sent


def status(**request):
    return ask(**request)[0]['status']


def test_the_key_is_exchanged_once_for_a_cookie():
    answer = ask(query=f'key={KEY}')[0]
    headers = dict(answer['headers'])
    assert answer['status'] == 303
    assert headers[b'location'] == b'/'
    assert headers[b'set-cookie'] == (
        f'playground_{PORT}={KEY}; Path=/; HttpOnly; SameSite=Strict'.encode()
    )
    answer = ask(**COOKIE)[0]
    assert answer['status'] == 200
    headers = dict(answer['headers'])
    assert b"frame-ancestors 'none'" in headers[b'content-security-policy']
    assert headers[b'permissions-policy'].startswith(b'camera=(self), ')


@pytest.mark.parametrize(
    ('request_', 'expected'),
    [
        (dict(), 401),
        (dict(query='key=wrong'), 401),
        (dict(path='/run/x', query=f'key={KEY}'), 401),
        (dict(cookie=f'playground_{PORT}=wrong'), 401),
        (dict(cookie=f'playground_{PORT + 1}={KEY}'), 401),
        (dict(host='evil.example', **COOKIE), 421),
        (dict(host=f'evil.example:{PORT}', **COOKIE), 421),
        (dict(host=f'127.0.0.1:{PORT + 1}', **COOKIE), 421),
        (dict(origin='http://evil.example', **COOKIE), 403),
        (dict(origin=f'http://127.0.0.1:{PORT + 1}', **COOKIE), 403),
        (dict(origin='null', **COOKIE), 403),
        (dict(sec_fetch_site='cross-site', **COOKIE), 403),
        (dict(sec_fetch_site='same-site', **COOKIE), 403),
        (dict(method='PUT', **COOKIE), 405),
        (dict(method='POST', transfer_encoding='chunked', **COOKIE), 411),
        (dict(method='POST', content_length='-1', **COOKIE), 400),
        (dict(method='POST', content_length=f'{MAX_BODY + 1}', **COOKIE), 413),
        (dict(method='POST', content_length=f'{MAX_BODY}', **COOKIE), 200),
        (dict(host=f'localhost:{PORT}', **COOKIE), 200),
    ],
)
def test_who_may_not_ask_is_refused(request_, expected):
    assert status(**request_) == expected


@pytest.mark.parametrize(
    ('headers', 'expected'),
    [
        (dict(origin=f'http://{HOST}', **COOKIE), 'websocket.accept'),
        (COOKIE, 'websocket.close'),  # a program, or another site's page
        (dict(origin='http://evil.example', **COOKIE), 'websocket.close'),
        (dict(origin=f'http://{HOST}'), 'websocket.close'),
        (
            dict(origin=f'http://{HOST}', host='evil.example', **COOKIE),
            'websocket.close',
        ),
    ],
)
def test_a_websocket_is_asked_for_the_same(headers, expected):
    assert ask(kind='websocket', **headers)[0]['type'] == expected


def write(folder, records):
    path = folder / '20260101_000000/vis_data/scalars.json'
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open('a') as file:
        file.writelines(json.dumps(record) + '\n' for record in records)
    return path


def test_a_log_is_read_as_it_grows(tmp_path):
    log = Log(tmp_path)
    assert log.read() == ([], [])
    path = write(tmp_path, [dict(step=20, iter=20, loss=2.0)])
    with path.open('a') as file:
        file.write('{"step": 40, "iter": 40, "lo')  # being written
    assert [r['step'] for r in log.read()[0]] == [20]
    with path.open('a') as file:
        file.write('ss": 1.0}\n')
    write(tmp_path, [{'step': 40, 'coco/bbox_mAP': 0.5}])
    training, evaluations = log.read()
    assert [r['loss'] for r in training] == [2.0, 1.0]
    assert [r['coco/bbox_mAP'] for r in evaluations] == [0.5]
    # a run that was resumed at 20 replaces what the first one did after
    other = tmp_path / '20260102_000000/vis_data/scalars.json'
    other.parent.mkdir(parents=True)
    other.write_text('{"step": 40, "iter": 40, "loss": 0.25}\n')
    training, evaluations = log.read()
    assert [r['loss'] for r in training] == [2.0, 0.25]
    assert evaluations == []


def test_of_a_long_log_all_evaluations_are_read(tmp_path):
    count = 60_000
    records = []
    for step in range(1, count + 1):
        records.append(dict(step=step, iter=step, loss=1 / step, lr=0.01))
        if step % 7_000 == 0:
            records.append({'step': step, 'coco/bbox_mAP': step / count})
    write(tmp_path, records)
    training, evaluations = Log(tmp_path).read()
    assert [e['step'] for e in evaluations] == [*range(7_000, count, 7_000)]
    assert POINTS / 2 < len(training) <= 2 * POINTS
    assert training[-1]['step'] == count
    assert all(r['loss'] == 1 / r['step'] for r in training)


def wait(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def supervise(folder, code, queue=None):
    """Start a job that runs some Python, as jobs.start() does."""
    folder.mkdir(exist_ok=True)
    module = 'fbnetv3_mmdet.playground.supervise'
    process = subprocess.Popen(
        [
            *(sys.executable, '-m', module, str(folder), str(queue or '')),
            *(sys.executable, '-c', code),
        ]
    )
    wait(lambda: process.poll() is not None or jobs.is_running(folder))
    return process


@pytest.mark.parametrize(
    ('code', 'expected'),
    [
        ('', ('finished', '')),
        ('exit(143)', ('stopped', '')),
        (
            "import sys; sys.exit('error: load_from is wrong') or 2",
            ('failed', 'load_from is wrong'),
        ),
        ("raise KeyError('x')", ('failed', "KeyError: 'x'")),
        (
            'import os; os.kill(os.getpid(), 9)',
            (
                'failed',
                'killed from outside, as Linux does where memory runs out',
            ),
        ),
    ],
)
def test_how_a_job_ended_is_told_from_its_folder(tmp_path, code, expected):
    assert jobs.state(tmp_path).name == 'new'
    supervise(tmp_path, code).wait()
    assert jobs.state(tmp_path) == expected


def test_the_error_is_that_of_the_last_attempt(tmp_path):
    supervise(tmp_path, "exit(print('error: x=1 is wrong') or 2)").wait()
    assert jobs.state(tmp_path) == ('failed', 'x=1 is wrong')
    supervise(tmp_path, "raise KeyError('y')").wait()
    assert jobs.state(tmp_path) == ('failed', "KeyError: 'y'")


def test_nobody_needs_to_read_what_a_job_prints(tmp_path):
    code = "print('x' * 1_000_000); print('y' * 1_000_000)"
    assert supervise(tmp_path, code).wait() == 0  # no pipe fills
    assert (tmp_path / 'output.log').stat().st_size == 2_000_002
    assert len(jobs.tail(tmp_path)) <= TAIL


def test_a_job_lives_without_its_supervisor(tmp_path):
    sleep = 'import time; print(1, flush=True); time.sleep(60)'
    supervisor = supervise(tmp_path, sleep)
    wait(lambda: (tmp_path / 'process.json').exists())
    again = supervise(tmp_path, '')
    assert again.wait() == 3  # one at a time
    supervisor.send_signal(signal.SIGKILL)
    supervisor.wait()
    assert jobs.state(tmp_path).name == 'running'
    jobs.stop(tmp_path)
    wait(lambda: jobs.state(tmp_path).name == 'interrupted')
    assert jobs.tail(tmp_path) == '1\n'


def test_jobs_wait_for_their_turns(tmp_path):
    """Also without a page; where one is killed or gives up, the next runs."""
    one, two, three, four = folders_ = [tmp_path / n for n in 'abcd']
    queue = tmp_path / '.queue'
    sleep = 'import time; time.sleep(60)'
    first = supervise(one, sleep, queue)
    wait(lambda: 'began' in jobs._read(one / 'process.json'))
    others = []
    for folder in (two, three, four):
        others.append(supervise(folder, 'print(1)', queue))
        wait((folder / 'process.json').exists)
    states = [jobs.state(folder) for folder in folders_]
    assert [state.name for state in states] == ['running'] + 3 * ['waiting']
    assert [state.line[:1] for state in states[1:]] == ['1', '2', '3']
    jobs.stop(two)  # who gives up was never begun
    wait(lambda: jobs.state(two).name == 'stopped')
    others[1].kill()  # the supervisor of the third
    wait(lambda: jobs.state(three).name == 'interrupted')
    first.kill()  # the job goes on without its supervisor, and has its turn
    time.sleep(1)
    assert jobs.state(one).name == 'running'
    assert jobs.state(four) == ('waiting', '1 before it; one runs at a time')
    jobs.stop(one)
    wait(lambda: jobs.state(four).name == 'finished')
    assert [jobs.tail(folder) for folder in folders_] == ['', '', '', '1\n']


def test_a_training_that_outlived_its_supervisor_has_finished(tmp_path):
    settings = {'values': {'iterations': 20}}
    run = folders.create_run(tmp_path, 'a', settings, '')
    run.work_dir.mkdir()
    supervisor = supervise(run.folder, 'import time; time.sleep(60)')
    wait((run.folder / 'process.json').exists)
    supervisor.kill()
    supervisor.wait()
    jobs.stop(run.folder)
    wait(lambda: run.state().name == 'interrupted')
    for name, expected in (
        ('iter_10.pth', 'interrupted'),
        ('iter_20.pth', 'finished'),
    ):
        (run.work_dir / name).touch()
        (run.work_dir / 'last_checkpoint').write_text(f'/moved/{name}')
        assert run.state().name == expected


def test_a_page_that_looks_does_not_keep_a_job_from_starting(tmp_path):
    path = tmp_path / 'lock'
    path.touch()
    with path.open() as page, path.open('r+') as supervisor:
        fcntl.flock(page, fcntl.LOCK_SH)  # as is_running() does
        threading.Timer(0.1, fcntl.flock, (page, fcntl.LOCK_UN)).start()
        assert _take(supervisor.fileno())
        with path.open('r+') as another:
            assert not _take(another.fileno())


def test_a_job_forgets_the_number_of_the_one_before(tmp_path):
    (tmp_path / 'process.json').write_text('{"pid": 1}')
    supervise(tmp_path, f"print(open('{tmp_path}/process.json').read())")
    wait(lambda: jobs.state(tmp_path).name in ('finished', 'failed'))
    assert '"pid": 1}' not in jobs.tail(tmp_path)


def test_a_run_has_a_folder_of_its_own(tmp_path):
    run = folders.create_run(tmp_path, 'a-1', {'values': {}}, 'x = 1\n')
    assert run.folder.stat().st_mode & 0o777 == 0o700
    assert run.config.read_text() == 'x = 1\n'
    assert list(folders.find_runs(tmp_path)) == ['a-1']
    with pytest.raises(ValueError, match="name='a-1' is taken"):
        folders.create_run(tmp_path, 'a-1', {}, 'y = 1\n')
    assert run.config.read_text() == 'x = 1\n'
    for name in ('', '../x', 'A', 'a/b', '-a', 'a' * 65, 'ü', 'a\n'):
        with pytest.raises(ValueError, match='small letters'):
            folders.create_run(tmp_path, name, {}, '')
    assert [path.name for path in tmp_path.iterdir()] == ['a-1']


def test_a_search_begins_with_the_config_of_a_run(tmp_path, monkeypatch):
    began = []
    monkeypatch.setattr(jobs, 'start', lambda *job: began.append(job))
    base = str(CONFIGS / find_data([])[DIGITS].base(False))
    text = f'_base_ = {base!r}\n'
    run = folders.create_run(tmp_path, 'a', {}, text)
    search = begin(run, 6, 0.5, 80)
    folder, (tool, config, option, work), queue = began[0]
    assert queue == run.queue  # as a training's
    assert (folder, tool, option) == (search.folder, 'search', '--work-dir')
    cfg = Config.fromfile(config)
    options = read_options(cfg)
    assert (options.trials, options.hours) == (6, 0.5)
    assert cfg.search.limit == dict(latency='80%')
    assert get_setting(cfg.to_dict(), 'train_cfg.max_iters') == 2000
    begin(run, 7, 1)  # nothing had been tried: other numbers may fit
    assert Config.fromfile(config).search == dict(trials=7, hours=1)
    (search.folder / 'work').mkdir()
    (search.folder / 'work/trials.jsonl').touch()
    begin(run, 8, 1)  # goes on as it was begun
    assert began[2] == began[0]
    assert Config.fromfile(config).search.trials == 7


def test_a_candidate_of_a_search_by_hand_is_trained(tmp_path, monkeypatch):
    began = []
    monkeypatch.setattr(jobs, 'start', lambda *job: began.append(job))
    work = tmp_path / 'work_dirs/search_mine'
    (work / 'trials').mkdir(parents=True)
    (work / 'trials/t017.py').write_text('train_cfg = dict(max_iters=7)\n')
    one = dict(number=17, config='trials/t017.py', mean=0.5)
    (work / 'candidates.json').write_text(json.dumps([one]))
    found = find_searches([tmp_path / 'work_dirs'])
    (search,) = found.values()
    assert list(found) == ['by-hand-work-dirs-search-mine']
    assert search.candidates() == [one]
    run = train(tmp_path / 'runs', None, search, one)
    assert run.name == 'search-mine-t017'
    assert began[0][0] == run.folder
    assert Config.fromfile(str(run.config)).train_cfg.max_iters == 7
    with pytest.raises(ValueError, match='is taken'):
        train(tmp_path / 'runs', None, search, one)


def test_runs_by_hand_are_shown(tmp_path):
    write(tmp_path / 'work_dirs/demo', [dict(step=1, iter=1, loss=1.0)])
    found = folders.find_runs(tmp_path / 'runs', [tmp_path / 'work_dirs'])
    (run,) = found.values()
    assert run.by_hand
    assert run.work_dir == tmp_path / 'work_dirs/demo'
    assert run.state().name == 'running'  # it was written a moment ago


def test_figures_are_those_that_quantizing_printed(tmp_path):
    run = folders.create_run(tmp_path, 'a', {}, '')
    assert exports.read_figures(run) is None
    paths = [exports.file_of(run, kind) for kind in ('float', 'int8')]
    scores = (
        {'AP': 51.26, 'AP50 vs float': 100.0},
        {'AP': 50.1} | {'AP50 vs float': 99.5},
    )
    files = [
        FileFigures(backend, str(path), *rest)
        for backend in ('onnxruntime', 'openvino')
        for path, *rest in zip(
            paths, scores, (20.5, 9.25), (4, 1.125), strict=True
        )
    ]
    for path in paths:
        path.parent.mkdir(parents=True)
        path.touch()
    report = Report(files, ['a', 'b'], Choice({'a'}, {'b': 3.0}))
    printed = f'\rfloat: 50%|█ | 1/2\rfloat: 100%|██| 2/2\n{report}\n'
    (paths[1].parent / 'output.log').write_text(printed)
    columns, rows = exports.read_figures(run)
    assert columns == ['backend', 'AP', 'AP50 vs float', 'ms', 'MB']
    assert rows == [
        ('float', ['onnxruntime', '51.26', '100.00', '20.50', '4.00']),
        ('int8', ['onnxruntime', '50.10', '99.50', '9.25', '1.12']),
        ('float', ['openvino', '51.26', '100.00', '20.50', '4.00']),
        ('int8', ['openvino', '50.10', '99.50', '9.25', '1.12']),
    ]


def test_a_browser_chooses_among_the_losses_that_are_offered(tmp_path):
    run = folders.create_run(tmp_path, 'a', {}, '')
    for drop in (3, '--help', None):
        with pytest.raises(ValueError, match='choose one of'):
            exports.quantize(run, tmp_path, tmp_path, drop)


def test_from_each_score_on_the_hits_are_those_found_so():
    truth = [
        dict(number=0, box=[0, 0, 10, 10]),
        dict(number=1, box=[20, 0, 30, 10]),
    ]
    found = [  # the best first
        dict(number=0, box=[0, 0, 10, 9]),  # the first object
        dict(number=0, box=[0, 0, 10, 10]),  # the same once more
        dict(number=0, box=[20, 0, 30, 10]),  # of another class
        dict(number=1, box=[21, 0, 30, 10]),  # the second object
    ]
    assert _hits(truth, found) == [True, False, False, True]
    assert _hits(truth, found[:2]) == [True, False]
    assert _hits(truth[:0], found) == [False] * 4


def test_a_drawing_has_names_as_text_alone():
    one = dict(label='<a href="x">&', number=9, box=[1, 2, 30.5, 40])
    two = dict(one, label='b', score=0.456, outline=[[1, 1, 5, 1, 5, 5]])
    root = ElementTree.fromstring(overlay([one, two], (320, 200)))
    assert root.attrib['viewBox'] == '0 0 320 200'
    kinds = [shape.tag.rpartition('}')[2] for shape in root]
    assert kinds == ['path', 'rect', 'rect', 'text', 'rect', 'rect', 'text']
    # the best, which come first, lie on top
    assert [shape.text for shape in root if shape.text] == [
        'b 0.46',
        '<a href="x">&',
    ]
    rect = root[4].attrib
    assert (rect['x'], rect['y']) == ('1', '2')
    assert (rect['width'], rect['height']) == ('29.5', '38.0')


def test_a_difference_is_told_from_what_seeds_make():
    one = dict(data='a', masks=False, values=dict(arch='A', seed=1))
    two = dict(data='a', masks=False, values=dict(arch='A', seed=2))
    assert without_seed(one) == without_seed(two)
    for other in (one | dict(data='b'), one | dict(values=dict(arch='B'))):
        assert without_seed(other) != without_seed(one)
    # standard errors of 0.01 and 0.01: two of the difference are 0.0283
    one, two = [0.49, 0.51], [0.52, 0.54]
    assert verdict(one, two) == (
        'AP 0.500 ± 0.010 (2 seeds) and AP 0.530 ± 0.010 (2 seeds): '
        '0.030 apart, more than two standard errors.'
    )
    assert 'within two standard errors (0.028)' in verdict(one, [0.515, 0.535])
    assert 'further seeds before you choose' in verdict([0.5], two[:1])
    assert 'would tell for sure' in verdict([0.5], two)


def test_defaults_are_those_of_the_base_configs():
    stored = json.loads(DEFAULTS.read_text())
    assert len(stored) == 4
    for base, values in stored.items():
        cfg = Config.fromfile(str(CONFIGS / base)).to_dict()
        assert values == {s.name: get_setting(cfg, s.path) for s in FORM}


def test_each_setting_is_in_one_group_of_the_form():
    names = [name for group in GROUPS.values() for name in group]
    assert sorted(names) == sorted(setting.name for setting in FORM)


@pytest.fixture
def mine(tmp_path):
    folder = tmp_path / "mine 'quoted'"
    (folder / 'images').mkdir(parents=True)
    content = dict(
        images=[dict(id=1, file_name='a.png', width=64, height=64)],
        annotations=[
            dict(
                id=1,
                image_id=1,
                category_id=1,
                bbox=[8, 8, 40, 40],
                area=1600,
                iscrowd=0,
            )
        ],
        categories=[dict(id=1, name="it's"), dict(id=2, name='b')],
    )
    for name in ('train', 'val'):
        (folder / f'{name}.json').write_text(json.dumps(content))
    return folder


def test_the_text_of_the_form_is_the_config_that_it_says(mine, tmp_path):
    data = find_data([mine.parent])[mine.name]
    assert data.classes == ("it's", 'b')
    values = defaults(data.base(False)) | dict(
        arch='FBNetV3_B',
        normalisation=NORMS['GN'],
        pooler_resolution=8,
        initial_weights=None,
        frozen_stages=0,
        iterations=400,
        batch_size=2,
        seed=7,
        anchor_scales=[1.5, 3],
        augmentation='multi-scale',
    )
    path = tmp_path / 'mine.py'
    path.write_text(config_text(data, False, values))
    cfg = load_config(str(path)).to_dict()  # as a training has it
    assert {s.name: get_setting(cfg, s.path) for s in FORM} == values
    assert cfg['train_dataloader']['dataset']['data_root'] == f'{mine}/'
    assert cfg['model']['roi_head']['bbox_head']['num_classes'] == 2


@pytest.mark.parametrize(
    ('name', 'transforms'),
    [
        ('none', ['Resize']),
        ('flip', ['Resize', 'RandomFlip']),
        ('multi-scale', ['RandomChoiceResize', 'RandomFlip']),
        (
            'jitter',
            ['RandomResize', 'RandomFlip', 'RandomCrop']
            + ['FilterAnnotations', 'Pad'],
        ),
    ],
)
def test_augmentations_change_images_of_any_data(
    mine, tmp_path, name, transforms
):
    content = json.loads((mine / 'train.json').read_text())
    content['annotations'][0]['segmentation'] = [[8, 8, 48, 8, 48, 48]]
    (mine / 'train.json').write_text(json.dumps(content))
    found = find_data([mine])
    path = tmp_path / 'mine.py'
    for data, masks in ((found[mine.name], True), (found[DIGITS], False)):
        values = defaults(data.base(masks)) | dict(augmentation=name)
        path.write_text(config_text(data, masks, values))
        dataset = Config.fromfile(str(path)).train_dataloader.dataset
        _, load, *between, last = dataset.pipeline
        is_drawn = data.folder is None and name == 'none'
        assert [t['type'] for t in between] == transforms * (not is_drawn)
        assert load.get('with_mask', False) is masks
        assert last['type'] == 'PackDetInputs'
        root = 'data/digits/' if data.folder is None else f'{mine}/'
        assert dataset.data_root == root


def test_a_run_costs_what_one_like_it_did(tmp_path):
    playground = Playground((), tmp_path, (), Engine(), {})
    base = find_data([])[DIGITS].base(False)
    settings = dict(data=DIGITS, masks=False, values=defaults(base))
    assert find_cost(playground, settings) is None
    run = folders.create_run(tmp_path, 'alike', settings, '')
    assert find_cost(playground, settings) is None  # it has logged nothing
    times = (9.0, 0.5, 0.75, 0.5, 0.5)  # the first one loads
    records = [
        dict(step=n, iter=n, time=time, memory=100 + n)
        for n, time in enumerate(times, 1)
    ]
    write(run.work_dir, records)
    other = settings | dict(values=settings['values'] | dict(batch_size=8))
    run = folders.create_run(tmp_path, 'other', other, '')
    write(run.work_dir, [dict(step=1, iter=1, time=2.0)])
    longer = settings | dict(values=settings['values'] | dict(iterations=9))
    assert find_cost(playground, longer) == ('alike', 0.5, 105)
    assert find_cost(playground, other) == ('other', 2.0, None)
    assert find_cost(playground, settings | dict(masks=True)) is None


def test_a_value_of_another_kind_is_told_at_its_field():
    right = defaults(find_data([])[DIGITS].base(False))
    assert kind_faults(right) == {}
    for setting in FORM:
        for wrong in (-2.5, [-1]):  # no setting takes either
            assert [*kind_faults(right | {setting.name: wrong})] == (
                [setting.name]
            )


def test_names_and_values_stay_what_they_are(mine, tmp_path):
    touched = tmp_path / 'touched'
    names = [
        '{{$X:abc',  # MMEngine puts "abc'," in place of this and the next
        '}}',
        f',__import__("pathlib").Path("{touched}").touch(),',
        ')#',
    ]
    content = json.loads((mine / 'train.json').read_text())
    content['categories'] = [
        dict(id=number, name=name) for number, name in enumerate(names)
    ]
    (mine / 'train.json').write_text(json.dumps(content))
    data = find_data([mine])[mine.name]
    path = tmp_path / 'mine.py'
    code = f"'+__import__('pathlib').Path('{touched}').touch()+'"
    values = defaults(data.base(False)) | dict(arch=code)
    path.write_text(config_text(data, False, values))
    cfg = Config.fromfile(str(path)).to_dict()
    assert not touched.exists()
    assert {s.name: get_setting(cfg, s.path) for s in FORM} == values
    assert list(cfg['classes']) == names


def test_the_engine_names_all_faults_at_their_fields(tmp_path):
    data = find_data([])[DIGITS]

    async def check(**changes):
        values = defaults(data.base(False)) | changes
        text = config_text(data, False, values)
        answer = await engine.call(
            'check', text=text, values=values, root=str(tmp_path)
        )
        return answer['faults']

    async def calls():
        for _ in range(2):  # of pages that are closed while it loads
            call = asyncio.create_task(check(pooler_resolution=1))
            await asyncio.sleep(0.1)
            call.cancel()
        assert await asyncio.wait_for(check(), 300) == {}
        found = await check(
            pooler_resolution=1, frozen_stages=2, rpn_lower_iou=0.9
        )
        assert {'pooler_resolution', 'frozen_stages', 'rpn_lower_iou'} <= (
            found.keys()
        )
        assert '' not in found
        for name, wrong in (  # of the right kind all the same
            ('arch', 'FBNetV3_Z'),
            ('normalisation', dict(type='LayerNorm2D')),
            ('initial_weights', 'nothing.pth'),
            ('rcnn_upper_iou', 0.1),
        ):
            assert name in await check(**{name: wrong}), name
        os.kill(engine._process.pid, signal.SIGKILL)
        assert await check() == {}  # another one answers
        with pytest.raises(ValueError, match='nothing.pth'):
            await engine.call(
                'detect', config=config, model='nothing.pth', image=''
            )
        await engine.close()

    engine = Engine()
    config = str(CONFIGS / data.base(False))
    asyncio.run(calls())


def test_the_server_needs_no_pytorch(tmp_path):
    code = (
        'import sys; sys.argv = ["-m"]; '
        'from fbnetv3_mmdet.playground import app, pages; '
        'print("torch" in sys.modules, "mmengine" in sys.modules)'
    )
    pytest.importorskip('nicegui')
    done = subprocess.run(
        [sys.executable, '-c', code],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    assert done.stdout == 'False False\n', done.stderr
