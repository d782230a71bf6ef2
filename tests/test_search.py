"""Searches with trainings that take a tenth of a second."""

import json
import math
import os
import random
import re
import shlex
import shutil
import signal
import sys
from pathlib import Path

import pytest
from thorough import amount
from trainings import PROCESSES, finish, train

from fbnetv3_mmdet.cli import load_config
from fbnetv3_mmdet.costs import costs
from fbnetv3_mmdet.deploy import export_verified, latency
from fbnetv3_mmdet.search import jobs, run
from fbnetv3_mmdet.search.budget import count_trained, seconds_left
from fbnetv3_mmdet.search.measure import Stopwatch, ask
from fbnetv3_mmdet.search.names import TRIALS
from fbnetv3_mmdet.search.nars import next_requests
from fbnetv3_mmdet.search.options import Options, read_options
from fbnetv3_mmdet.search.setup import identity, read_space
from fbnetv3_mmdet.search.state import State, locked
from fbnetv3_mmdet.training.settings import check_settings

pytestmark = pytest.mark.same_on_upstream

ROOT = Path(__file__).parents[1]
BASE = next(ROOT.glob('configs/fbnetv3/*-tiny-c4_1xb4-300_digits-small.py'))
LR = 'optim_wrapper.optimizer.lr'
TRAINER = Path(__file__).with_name('search_trainer.py')


def write(folder, **options):
    """Write a search's config into a folder; return its path."""
    given = dict(
        limit=dict(macs=70e6),
        trials=12,  # more than the first batch: others are predicted
        finalists=2,
        seeds=2,
        batch=3,
        space=dict(recipe={LR: dict(log=(0.005, 0.5))}),
    )
    path = folder / 'mine.py'
    path.write_text(f'_base_ = {str(BASE)!r}\nsearch = {given | options!r}\n')
    return path


def search(path, *limit, say=print, trainer=TRAINER):
    """Run the search of a config in this process, with quick trainings."""
    jobs.TRAIN = (sys.executable, str(trainer))
    run.search(str(path), str(path.parent / 'work'), limit, False, say)


def _in_process(path):
    os.setsid()
    search(path, say=lambda line: None)


def events(path):
    """Return the state's events, but for what depends on the clock."""
    lines = (path.parent / 'work' / TRIALS).read_text().splitlines()
    return [
        {k: v for k, v in json.loads(line).items() if k != 'seconds'}
        for line in lines
    ]


@pytest.fixture(autouse=True)
def trainer(monkeypatch):
    monkeypatch.setattr(jobs, 'TRAIN', jobs.TRAIN)


@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory):
    path = write(tmp_path_factory.mktemp('search'))
    lines = []
    before = jobs.TRAIN
    search(path, say=lines.append)
    jobs.TRAIN = before
    return path, lines


def test_a_search_ends_with_its_results(undisturbed):
    path, lines = undisturbed
    work = path.parent / 'work'
    found = events(path)
    trained = {
        (e['number'], e['iterations'])
        for e in found
        if e['event'] == 'result' and e['status'] == 'done' and e['iterations']
    }
    assert len({number for number, _ in trained}) >= 12
    costs = {e['number']: e['costs'] for e in found if e['event'] == 'costs'}
    within = {n for n, _ in trained if costs[n]['macs'] <= 70e6}
    # all but the baseline, of 74 million, and its second seed
    assert {n for n, _ in trained} - within == {
        n for n in costs if costs[n] == costs[0]
    }
    # the AP depends on the rate alone
    rates = {
        number: math.log10(_rate(work / f'trials/t{number:03d}.py'))
        for number, iterations in trained
        if iterations == 300 and number in within
    }
    nearest = min(rates.values(), key=lambda rate: abs(rate + 1))
    assert math.log10(_rate(work / 'best.py')) == nearest
    assert (work / 'pareto.png').stat().st_size > 10_000
    assert 'Best within the limit' in (work / 'search.md').read_text()
    front = {path.name for path in (work / 'front').glob('*.py')}
    candidates = json.loads((work / 'candidates.json').read_text())
    assert front == {
        f't{one["number"]:03d}.py' for one in candidates if one['in_front']
    }
    assert front
    assert {one['number']: one['costs'] for one in candidates}.items() <= (
        costs.items()
    )
    assert all((work / one['config']).is_file() for one in candidates)
    assert any(re.match(r't\d+  AP 0\.\d+ at 300', line) for line in lines)


def _rate(path):
    return load_config(str(path)).optim_wrapper.optimizer.lr


@pytest.mark.slow
def test_kills_change_nothing(tmp_path, undisturbed):
    path = write(tmp_path)
    rng = random.Random(0)
    for _ in range(amount(8, 20)):
        process = PROCESSES.Process(target=_in_process, args=(path,))
        process.start()
        process.join(rng.uniform(0.5, 2.5))
        if rng.random() < 0.5 and (children := _trainings(process.pid)):
            os.kill(rng.choice(children), signal.SIGKILL)
            process.join(rng.uniform(0, 0.5))
        process.kill()
        process.join()
        assert not _trainings(process.pid)
    process = PROCESSES.Process(target=_in_process, args=(path,))
    process.start()
    assert finish(process) == 0
    assert events(path) == events(undisturbed[0])
    best = (p.parent / 'work/best.py' for p in (path, undisturbed[0]))
    assert len({file.read_text() for file in best}) == 1


def test_any_beginning_of_the_state_goes_on_alike(tmp_path, undisturbed):
    path = undisturbed[0]
    lines = (path.parent / 'work' / TRIALS).read_text().splitlines(True)
    found = [json.loads(line) for line in lines]
    cfg = load_config(str(path))
    options = read_options(cfg.to_dict())
    space = read_space(cfg, options)
    for count in range(1, len(lines) + 1):
        (tmp_path / TRIALS).write_text(''.join(lines[:count]))
        state = State(tmp_path, identity(cfg, options, space))
        # what the whole file has next: results, or another batch
        later = found[count:]
        batch = next(
            (i for i, e in enumerate(later) if e['event'] == 'batch'),
            len(later),
        )
        owed = [e['number'] for e in later[:batch] if e['event'] == 'result']
        assert [request.number for request in state.waiting()] == owed
        if not owed:
            asked = next_requests(state.trials(), space, options)
            wanted = later[batch]['requests'] if later[batch:] else []
            assert json.loads(json.dumps(asked)) == wanted


def _trainings(pid):
    """Return the ids of a process's children, of Linux's tables."""
    try:
        text = Path(f'/proc/{pid}/task/{pid}/children').read_text()
    except FileNotFoundError:
        return []
    return [int(child) for child in text.split()]


@pytest.mark.parametrize(('memory', 'at_a_time'), [(1, 1), (2**50, 2)])
def test_trainings_run_together_as_memory_allows(
    tmp_path, monkeypatch, memory, at_a_time
):
    monkeypatch.setattr(jobs, 'TRAIN', (sys.executable, str(TRAINER)))
    monkeypatch.setattr(jobs, 'free_memory', lambda: memory)
    monkeypatch.setattr(jobs, 'cores', lambda: 2)
    monkeypatch.setenv('PAUSE', '0.05')  # s an iteration: 0.6 s a training
    settings = {'train_cfg.val_begin': '300', 'train_cfg.val_interval': '50'}
    wanted = []
    for number in range(4):
        config, folder = tmp_path / f't{number}.py', tmp_path / f't{number}'
        config.write_text("optimizer = {'lr': 0.04}")
        wanted.append(jobs.Job(number, str(config), str(folder), settings))
    with jobs.Processes() as runner:
        list(runner.run(wanted[:1]))  # what it takes is known from now on
        assert runner.slots == at_a_time
        assert [e.status for _, e in runner.run(wanted[1:])] == [0, 0, 0]
    times = sorted(map(_begin_and_end, tmp_path.glob('t[1-3]')))
    together = [a[1] > b[0] for a, b in zip(times, times[1:], strict=False)]
    assert any(together) == (at_a_time > 1)


def _begin_and_end(folder):
    (run,) = folder.glob('run*')
    return int(run.name[3:]), (folder / 'iter.txt').stat().st_mtime_ns


def test_what_is_over_the_limit_is_no_trial_of_the_budget():
    found = [(0, 'done', 10), (1, 'over', 0), (2, 'nan', 20), (0, 'done', 30)]
    events = [
        dict(number=number, status=status, seconds=seconds)
        for number, status, seconds in found
    ]
    assert count_trained(events) == 2
    # 5 candidates and 2 finalists' and the baseline's second seed: 6 more of
    # 20 s each, two at a time
    options = Options(300, trials=5, finalists=2, seeds=2)
    assert seconds_left(events, options, 2) == 6 * 20 / 2


def test_a_line_that_was_cut_is_written_anew(tmp_path, undisturbed):
    path = write(tmp_path)
    work = path.parent / 'work'
    shutil.copytree(undisturbed[0].parent / 'work', work)
    whole = events(path)
    text = (work / TRIALS).read_text()
    (work / TRIALS).write_text(text[: text.rindex('"seconds"')])
    search(path)
    assert events(path) == whole


def test_a_changed_limit_trains_finalists_alone(tmp_path, undisturbed):
    path = write(tmp_path)
    work = path.parent / 'work'
    shutil.copytree(undisturbed[0].parent / 'work', work)
    before = events(path)
    costs = {e['number']: e['costs'] for e in before if e['event'] == 'costs'}
    # a limit that half of the trials meet
    macs = sorted(cost['macs'] for cost in costs.values())
    limit = macs[len(macs) // 2]
    search(path, f'macs={limit}')
    after = events(path)
    assert after[: len(before)] == before
    asked = [
        request
        for event in after[len(before) :]
        if event['event'] == 'batch'
        for request in event['requests']
    ]
    trained = {
        tuple(request[1])
        for event in before
        if event['event'] == 'batch'
        for request in event['requests']
    }
    assert all(tuple(request[1]) in trained for request in asked)
    assert all(request[2] > 0 for request in asked)  # further seeds
    best = re.search(r'# Trial (\d+)', (work / 'best.py').read_text())
    assert costs[int(best[1])]['macs'] <= limit


def test_another_search_in_the_folder_is_named(tmp_path, undisturbed):
    path = write(tmp_path, seed=1)
    shutil.copytree(undisturbed[0].parent / 'work', path.parent / 'work')
    with pytest.raises(ValueError, match='holds another search, with seed=0'):
        search(path)


def test_a_search_that_runs_has_its_folder_alone(tmp_path):
    path = write(tmp_path)
    with (
        locked(tmp_path / 'work'),
        pytest.raises(ValueError, match='is in use by another search'),
    ):
        search(path)


def test_nan_is_a_score_of_0_and_a_crash_is_left_out(tmp_path):
    # of 0.04, the baseline's, 10 and 0.0001 the second is NaN, the last fails
    path = write(
        tmp_path,
        trials=3,
        batch=3,
        seeds=1,
        limit={},
        space=dict(arch=None, recipe={LR: [0.04, 10.0, 0.0001]}),
    )
    lines = []
    search(path, say=lines.append)
    state = {e['number']: e for e in events(path) if e['event'] == 'result'}
    rates = {
        number: _rate(path.parent / f'work/trials/t{number:03d}.py')
        for number in state
    }
    found = {rates[n]: state[n]['status'] for n in state}
    assert found == {0.04: 'done', 10.0: 'nan', 0.0001: 'failed'}
    assert _rate(path.parent / 'work/best.py') == 0.04
    crashed = next(n for n, rate in rates.items() if rate == 0.0001)
    output = path.parent / f'work/trials/t{crashed:03d}/output.txt'
    assert output.read_text().count('a crash') == 3
    table = (path.parent / 'work/search.md').read_text()
    assert f'| t{crashed:03d} | failed |' in table


def test_half_of_a_batch_that_crashes_ends_the_search(tmp_path):
    recipe = {LR: [0.04, 0.0002, 0.0001]}
    space = dict(arch=None, recipe=recipe)
    path = write(tmp_path, trials=3, limit={}, space=space)
    with pytest.raises(ValueError, match=r'2 of 3 trainings .* error: a cr'):
        search(path)
    done = [e for e in events(path) if e['event'] == 'result']
    assert all(event['status'] == 'done' for event in done)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(trails=3), r"^search\.trails=3 is no .* did you mean 'trials'"),
        (dict(trials=1), r'^search\.trials=1 must be an integer from 2'),
        (dict(limit=dict(ms=3)), r'^search\.limit\.ms=3 is no setting'),
        *(
            (
                dict(limit=dict(macs=low)),
                f'macs={low!r} must be a number above',
            )
            for low in ('0%', '-5%', 'nan%', 0, '80')
        ),
        (
            dict(limit=dict(macs=1e6)),
            r'^search\.limit\.macs=1e\+06 is met by nothing: the smallest '
            r'candidate has 2\.72\d*e\+06',
        ),
        (
            dict(limit=dict(macs=1e12)),
            r'^search\.limit\.macs=1e\+12 is met by everything: the '
            r'candidates have from 2\.7',
        ),
        (
            dict(space=dict(recipe={'model.nosuch.key': [1, 2]})),
            r"^search\.space\.recipe\['model\.nosuch\.key'\] is no setting",
        ),
        (
            dict(
                space=dict(
                    recipe={'model.train_cfg.rcnn.sampler.num': [-5, -4]}
                )
            ),
            r'^search\.space leads to a candidate that is refused .*: '
            r'model\.train_cfg\.rcnn\.sampler\.num=-',
        ),
    ],
)
def test_a_mistake_is_named_before_anything_trains(tmp_path, options, message):
    path = write(tmp_path, **options)
    with pytest.raises(ValueError, match=message):
        search(path)
    assert not list(tmp_path.glob('work/trials/*/output.txt'))


def test_a_choice_that_follows_other_settings_is_refused(tmp_path):
    path = write(tmp_path, space=dict(recipe={LR: [0.02, 0.08]}))
    rates = f'from_scratch = {{{LR!r}: (0.02, 0.08)}}\n'
    start = 'optim_wrapper = dict(optimizer=dict(lr=0.02))\n'
    path.write_text(path.read_text() + rates + start)
    with pytest.raises(ValueError, match=r'cannot be 0\.02, .* becomes 0\.08'):
        search(path)


def test_training_a_search_s_config_trains_the_baseline(tmp_path):
    cfg = load_config(str(write(tmp_path)))
    check_settings(cfg, ('train', 'val'))


@pytest.mark.slow
def test_the_best_trains_and_is_exported_unchanged(tmp_path, undisturbed):
    work = undisturbed[0].parent / 'work'
    cfg = load_config(str(work / 'best.py'), _tiny(tmp_path))
    assert isinstance(cfg.model.arch, dict)  # not the baseline
    cfg.work_dir, cfg.launcher = str(tmp_path / 'trained'), 'none'
    check_settings(cfg, ('train', 'val'))
    assert train(cfg) == 0
    checkpoint = tmp_path / 'trained/iter_2.pth'
    target = tmp_path / 'best.onnx'
    report = export_verified(cfg, str(checkpoint), str(target))
    assert target.exists() and report
    found = latency(target, times=1, rounds=1)
    assert 0 < found.median < 1000


def _tiny(folder):
    """Return the settings of a training of two iterations."""
    return {
        'train_cfg.max_iters': 2,
        'train_cfg.val_interval': 2,
        'default_hooks.checkpoint.interval': 2,
        'train_dataloader.batch_size': 2,
        **{
            f'{split}_dataloader.dataset.{key}': value
            for split in ('train', 'val', 'test')
            for key, value in (
                ('data_root', str(folder / 'data')),
                ('num_images', 4),
            )
        },
    }


def test_a_command_that_prints_no_number_is_named(tmp_path):
    file = tmp_path / 'detector.onnx'
    with pytest.raises(ValueError, match=r"^search\.command='false' ended"):
        ask('false', file)
    with pytest.raises(ValueError, match=r"^search\.command='nosuch' cannot"):
        ask('nosuch', file)


@pytest.mark.slow
def test_latency_is_measured_or_asked_for(tmp_path):
    """A smaller detector takes less time, whoever measures."""
    small = load_config(str(BASE))
    large = load_config(str(BASE), {'model.arch': 'FBNetV3_A_dsmask'})
    measured = Stopwatch(small, Options(300)).measure([small, large])
    assert measured[0] < measured[1]  # of 4.5 times the MACs
    # of the file's bytes, four a parameter
    program = (
        'import os, sys; print("ms:", os.path.getsize(sys.argv[1]) / 4e6)'
    )
    command = shlex.join([sys.executable, '-c', program])
    asked = Stopwatch(small, Options(300, command=command)).measure([small])
    parts = costs(small.model.arch)
    parameters = sum(parts[p].params for p in ('trunk', 'rpn', 'bbox'))
    assert 0.9 * parameters < asked[0] * 1e6 < 2 * parameters
