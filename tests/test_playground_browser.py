"""The playground in a browser: from the form to an exported file."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image, ImageDraw

pytestmark = [pytest.mark.browser, pytest.mark.same_on_upstream]

CHROMIUM = '/usr/bin/chromium'
PAGES = ('/data', '/new', '/runs', '/compare')
CONTRAST = Path(__file__).with_name('contrast.js')
WAIT = 300_000  # ms, on a busy machine
NONCE = 'dGhlIHNhbXBsZSBub25jZQ=='  # of RFC 6455
# The first chart's points; there is none before its script is loaded.
POINTS = """() => {
    const chart = document.querySelector('.nicegui-echart');
    const drawn = chart && getElement(Number(chart.id.slice(1))).chart;
    return drawn?.getOption().series[0]?.data ?? [];
}"""
FITS = 'document.documentElement.scrollWidth <= innerWidth'  # sideways


@pytest.fixture(scope='module')
def browser():
    reason = None
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        reason = 'playwright is not installed'
    if not Path(CHROMIUM).exists():
        reason = f'{CHROMIUM} is not installed'
    if reason:
        if os.environ.get('CI'):
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                '--no-sandbox',
                '--disable-dev-shm-usage',
                '--use-fake-device-for-media-stream',
                '--use-fake-ui-for-media-stream',
                '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
            ],
        )
        yield chromium
        chromium.close()


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """Twelve pictures of bars and discs; the first of val is one of train."""
    folder = tmp_path_factory.mktemp('data') / 'shapes'
    (folder / 'images').mkdir(parents=True)
    images, objects = [], []
    for number in range(1, 13):
        rng = np.random.default_rng(1 if number == 9 else number)
        picture = Image.new('RGB', (160, 112), (90, 110, 100))
        draw = ImageDraw.Draw(picture)
        for label in (1, 2):
            x, y = map(int, rng.integers(4, [90, 50]))
            w, h = map(int, rng.integers(30, 60, 2))
            h = h // 6 if label == 1 else h  # no anchor is as flat
            shape = draw.rectangle if label == 1 else draw.ellipse
            shape((x, y, x + w, y + h), fill=(230, 60 * label, 20))
            objects.append(
                dict(
                    id=len(objects) + 1,
                    image_id=number,
                    category_id=label,
                    bbox=[x, y, w, h],
                    area=w * h,
                    iscrowd=0,
                )
            )
        picture.save(folder / f'images/{number}.png')
        images.append(
            dict(id=number, file_name=f'{number}.png', width=160, height=112)
        )
    classes = [dict(id=1, name='bar'), dict(id=2, name='disc')]
    for name, part in (('train', range(1, 9)), ('val', range(9, 13))):
        content = dict(
            categories=classes,
            images=[i for i in images if i['id'] in part],
            annotations=[o for o in objects if o['image_id'] in part],
        )
        (folder / f'{name}.json').write_text(json.dumps(content))
    return folder


class Server:
    """The playground as a user starts it."""

    def __init__(self, data, root):
        self.root = root
        self.command = [
            *(sys.executable, '-m', 'fbnetv3_mmdet', 'playground'),
            *('--data', str(data), '--runs', str(root / 'runs')),
            *('--watch', str(root / 'work_dirs')),
        ]
        (root / 'work_dirs').mkdir(exist_ok=True)
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            self.command,
            stdout=subprocess.PIPE,
            text=True,
            cwd=self.root,
            env={
                **os.environ,
                'OMP_NUM_THREADS': '1',
                'PYTHONPATH': str(Path(__file__).parents[1]),
            },
        )
        self.address = self.process.stdout.readline().strip()
        self.home = self.address.partition('/?')[0]

    def stop(self, number=signal.SIGKILL):
        self.process.send_signal(number)
        self.process.wait()


@pytest.fixture(scope='module')
def server(data, tmp_path_factory):
    server = Server(data, tmp_path_factory.mktemp('playground'))
    yield server
    server.stop(signal.SIGTERM)


@contextmanager
def visit(browser, server, **options):
    """A page as another browser opens it; it asks nobody else."""
    context = browser.new_context(accept_downloads=True, **options)
    page = context.new_page()
    page.set_default_timeout(WAIT)
    hosts, errors = set(), []
    context.on('request', lambda r: hosts.add(urlsplit(r.url).hostname))
    context.on('weberror', lambda e: errors.append(str(e.error)))
    page.goto(server.address)
    yield page
    context.close()
    assert errors == []
    assert hosts - {None} == {'127.0.0.1'}  # None: of data: and blob:


@pytest.fixture
def page(browser, server):
    with visit(browser, server) as page:
        yield page


def verdict(page, words):
    page.wait_for_function(
        f"document.querySelector('aside')?.innerText.includes('{words}')"
    )


def from_scratch(page, iterations):
    """Fill the form for a training of seconds, and wait for its verdict."""
    page.get_by_role('combobox', name='architecture').click()
    page.get_by_role('option', name='FBNetV3_A_dsmask_tiny').click()
    page.get_by_role('combobox', name='initial weights').click()
    page.get_by_role('option', name='none: random weights').click()
    for label, value in (
        ('stages to freeze', '0'),
        ('iterations', str(iterations)),
        ('images a batch', '2'),
        ('seed', '3'),
    ):
        page.get_by_label(label, exact=True).fill(value)
    page.wait_for_timeout(600)
    verdict(page, 'Everything fits.')


def state(page, words):
    page.wait_for_function(
        f"document.querySelector('.card')?.innerText.includes('{words}')"
    )


def start(page, name):
    page.get_by_label('name of the run').fill(name)
    page.get_by_role('button', name='Start training').click()
    page.wait_for_url(f'**/run/{name}')


def first_iteration(folder):
    """The first that a resumed training logs."""
    end = time.monotonic() + WAIT / 1000
    while time.monotonic() < end:
        *_, log = sorted(folder.glob('work/*/vis_data/scalars.json'))
        if log != min(folder.glob('work/*/vis_data/scalars.json')):
            for line in log.read_text().splitlines():
                return json.loads(line)['iter']
        time.sleep(0.2)
    raise TimeoutError(folder)


def test_all_faults_stand_at_their_fields_and_the_draft_survives(page):
    assert '?key=' not in page.url
    page.wait_for_selector('text=pooler resolution')
    from_scratch(page, 12)
    page.get_by_label('pooler resolution').fill('1')
    page.get_by_label('stages to freeze').fill('2')
    page.get_by_label('IoU from which a region is an object').fill('')
    # frozen stages concern the initial weights, too
    verdict(page, '4 settings do not fit.')
    assert page.get_by_role('button', name='Start training').is_disabled()
    for label in ('pooler resolution', 'stages to freeze'):
        field = page.get_by_label(label)
        assert field.get_attribute('aria-invalid') == 'true'
    lines = page.locator('.note.bad').all_inner_texts()
    assert any('at least 2' in line for line in lines)
    assert any('frozen' in line for line in lines)
    page.reload()
    verdict(page, '4 settings do not fit.')
    assert page.get_by_label('pooler resolution').input_value() == '1'
    page.get_by_role('button', name='Defaults').click()
    from_scratch(page, 12)
    assert page.get_by_role('button', name='Start training').is_enabled()
    page.get_by_text('The config as text').click()
    with page.expect_download() as download:
        page.get_by_role('button', name='Download mine.py').click()
    text = Path(download.value.path()).read_text()
    assert text.strip() == page.get_by_label('Config').inner_text().strip()
    assert 'load_from = None' in text


def sum_of_numbers(text):
    return sum(map(int, re.findall(r'\d+', text)))


def predicted(run, image):
    """Return what tools/predict.py finds, as rows of the page's table."""
    out = run / 'predicted.json'
    work = run / 'work'
    checkpoint = (work / 'last_checkpoint').read_text()
    done = subprocess.run(
        [
            *(sys.executable, '-m', 'fbnetv3_mmdet', 'predict'),
            *(str(run / 'config.py'), checkpoint, str(image)),
            *('--score-thr', '0.05', '--json', str(out)),
            *('--out-dir', str(run / 'predicted')),
        ],
        cwd=Path(__file__).parents[1],
    )
    assert done.returncode == 0
    (entry,) = json.loads(out.read_text())
    rows = []
    for one in entry['detections'][:20]:
        box = ', '.join(f'{round(side, 1):g}' for side in one['box'])
        rows.append(f'{one["class"]}\t{round(one["score"], 4)}\t{box}')
    return rows


def test_from_the_form_to_an_exported_file(page, server, data):
    page.goto(f'{server.home}/new')
    from_scratch(page, 12)
    start(page, 'first')
    state(page, 'finished')
    state(page, 'iteration 12 of 12')
    page.get_by_role('button', name='Val images, worst first').click()
    page.wait_for_selector('figure img')
    captions = page.locator('figcaption').all_inner_texts()
    assert len(captions) == 8  # four of val, truth beside detections
    assert all('missed' in caption for caption in captions[1::2])
    slider = page.locator('.q-slider [tabindex]')
    slider.focus()
    counts = {}
    for key, least in (('PageDown', 0.05), ('PageUp', 0.55)):
        page.keyboard.press(key)
        page.wait_for_function(
            'least => document.querySelector("[role=slider]")'
            '.ariaValueNow == least',
            arg=least,
        )
        page.wait_for_timeout(1500)
        captions = page.locator('figcaption').all_inner_texts()[1::2]
        counts[least] = [sum_of_numbers(c.split(':')[1]) for c in captions]
        orders = page.locator('.pair').evaluate_all(
            'pairs => pairs.map(pair => +pair.style.order)'
        )
        ranked = sorted(zip(orders, counts[least], strict=True))
        worst = [count for _, count in ranked]
        assert worst == sorted(worst, reverse=True)
    assert sum(counts[0.05]) > sum(counts[0.55])
    page.keyboard.press('PageDown')
    text = dict(name='a.png', mimeType='image/png', buffer=b'no picture')
    page.locator('input[type=file]').set_input_files(text)
    page.wait_for_selector('text=/is no readable image: it has none of/')
    page.locator('input[type=file]').set_input_files(data / 'images/9.png')
    page.wait_for_selector('text=/objects of score 0.05/')
    rows = page.locator('.card table tr').all_inner_texts()
    assert rows == predicted(server.root / 'runs/first', data / 'images/9.png')
    page.get_by_role('button', name='Use the camera').click()
    page.get_by_role('button', name='Take a picture').click()
    page.wait_for_function(
        "document.querySelector('.card .layers img').naturalHeight == 360"
    )
    page.get_by_role('button', name='Camera off').click()
    page.get_by_role('button', name='Export to ONNX').click()
    link = page.get_by_role('link', name='Download')
    link.wait_for()
    (row,) = page.get_by_role('row').filter(has=link).all_inner_texts()
    assert row.startswith('ONNX, float\t')
    with page.expect_download() as download:
        link.click()
    from fbnetv3_runtime import Detector

    detector = Detector(download.value.path())
    assert detector.metadata['classes'] == ['bar', 'disc']
    page.get_by_role('combobox', name='with the detector in').click()
    page.get_by_role('option', name='ONNX, float').click()
    page.locator('input[type=file]').set_input_files(data / 'images/9.png')
    page.wait_for_function(
        "document.querySelector('.card .layers img').naturalHeight == 448"
    )
    found = detector.predict(data / 'images/9.png')
    rows = page.locator('.card table tr').all_inner_texts()
    assert [row.split('\t')[0] for row in rows] == found.names[: len(rows)]
    scores = [float(row.split('\t')[1]) for row in rows]
    assert scores == pytest.approx(found.scores[: len(rows)], abs=1e-4)
    page.goto(f'{server.home}/compare')
    table = page.locator('table').last
    rows = dict(
        row.split('\t') for row in table.all_inner_texts()[0].split('\n')
    )
    log = server.root / 'runs/first/work'
    (log,) = log.glob('*/vis_data/scalars.json')
    last = json.loads(log.read_text().splitlines()[-1])
    assert float(rows['AP50']) == round(last['coco/bbox_mAP_50'], 3)
    assert page.get_by_text('No AP by class').is_visible()
    page.goto(f'{server.home}/new?clone=first')
    verdict(page, 'Everything fits.')
    assert page.get_by_label('seed', exact=True).input_value() == '3'
    page.get_by_label('name of the run').fill('first')
    page.get_by_role('button', name='Start training').click()
    page.wait_for_selector("text=/name='first' is taken/")


def test_a_training_outlives_the_server_and_is_stopped_and_resumed(
    page, server, browser
):
    page.goto(f'{server.home}/new')
    from_scratch(page, 4000)
    start(page, 'second')
    state(page, 'training · iteration')
    server.stop()  # SIGKILL
    server.start()
    folder = server.root / 'runs/second'
    with visit(browser, server) as page, visit(browser, server) as other:
        page.wait_for_selector('text=pooler resolution')
        aside = page.locator('aside').inner_text()
        assert 'PyTorch is loading' in aside  # the form is there before
        for tab in (page, other):
            tab.goto(f'{server.home}/run/second')
            state(tab, 'training · iteration')
            tab.wait_for_function(f'({POINTS})().length >= 2')
        page.get_by_role('button', name='Stop and save').click()
        for tab in (page, other):
            state(tab, 'stopped, and saved')
        page.wait_for_timeout(3000)  # all that was logged is drawn
        drawn = page.evaluate(POINTS)
        page.reload()
        page.wait_for_function(f'({POINTS})().length >= {len(drawn)}')
        assert page.evaluate(POINTS) == drawn
        assert json.loads((folder / 'exit.json').read_text())['status'] == 143
        saved = (folder / 'work/last_checkpoint').read_text()
        saved = int(re.findall(r'iter_(\d+)', saved)[0])
        page.get_by_role('button', name='Resume').click()
        # each 80th of 4000 is logged
        assert 0 < saved < first_iteration(folder) <= saved + 80
        pid = json.loads((folder / 'process.json').read_text())['pid']
        os.kill(pid, signal.SIGKILL)
        state(page, 'killed from outside')
        page.get_by_role('button', name='Resume').click()
        state(page, 'training · iteration')
        page.get_by_role('button', name='Stop and save').click()
        page.get_by_role('button', name='Stop at once').click()
        state(page, 'stopped')
        page.goto(f'{server.home}/compare')
        rows = page.locator('table').first.locator('tr').all_inner_texts()
    assert [row.split('\t')[0] for row in rows] == ['setting', 'iterations']


def test_data_are_examined_and_shown(page, server):
    page.goto(f'{server.home}/data')
    page.get_by_role('button', name='Check the data').click()
    page.wait_for_selector('text=Boxes and anchors')
    findings = page.get_by_label('Findings, train').inner_text()
    assert '8 images' in findings and 'in val' in findings
    page.set_viewport_size(dict(width=390, height=800))
    assert page.evaluate(FITS)
    assert page.get_by_alt_text('Objects with defects').is_visible()
    page.get_by_role('button', name='Show').click()
    page.wait_for_selector('text=1 to 8 of 8')
    assert page.locator('.pictures img').count() == 8
    page.get_by_role('button', name='Look for twins').click()
    page.wait_for_selector('text=1 to 1 of 1')
    pair = page.locator('.pair figcaption').all_inner_texts()
    assert pair == ['train: 1.png', 'val: 9.png']
    page.get_by_role('button', name='Use these anchors').click()
    page.wait_for_url('**/new')
    verdict(page, 'Everything fits.')
    ratios = page.get_by_label('anchor ratios', exact=True)
    assert min(map(float, ratios.input_value().split(','))) < 0.25  # bars
    back = page.get_by_role('button', name='Back to the default')
    assert back.count() == 2  # of sizes and of ratios: only what changed
    back.last.click()
    page.wait_for_function(
        'document.querySelector(\'[aria-label="anchor ratios"]\').value === '
        "'0.5, 1, 2'"
    )
    ratios.fill('1, x')
    page.wait_for_selector("text=/'1, x' must be a list/")


def test_what_stops_a_training_stands_on_its_page(page, server, data):
    page.goto(f'{server.home}/new')
    from_scratch(page, 12)
    file = data / 'train.json'
    content = file.read_text()
    file.write_text(content[:-9])
    try:
        start(page, 'third')
        state(page, 'failed')
        line = page.locator('.card .note.bad').inner_text()
        assert 'train.json' in line and '\n' not in line
        assert page.get_by_role('button', name='Start').is_visible()
    finally:
        file.write_text(content)


def test_strangers_get_nothing(page, server):
    """The layer in front is tested by itself; here it must be there."""
    (cookie,) = page.context.cookies()
    own = {'Cookie': f'{cookie["name"]}={cookie["value"]}'}
    host = urlsplit(server.home)

    def ask(path, method='GET', **headers):
        connection = HTTPConnection(host.hostname, host.port)
        connection.request(method, path, headers=headers)
        status = connection.getresponse().status
        connection.close()
        return status

    assert ask('/new', **own) == 200
    socket = {'Upgrade': 'websocket', 'Connection': 'Upgrade'}
    socket |= {'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': NONCE}
    here = {'Origin': server.home}
    transport = '/_nicegui_ws/socket.io/?EIO=4&transport='
    for path, headers, expected in (
        ('/new', {}, 401),
        ('/new?key=wrong', {}, 401),
        ('/new', own | {'Host': 'evil.example'}, 421),
        ('/new', own | {'Origin': 'http://evil.example'}, 403),
        (transport + 'polling', {}, 401),
        (transport + 'websocket', own | socket, 403),
        (transport + 'websocket', here | socket, 403),
        ('/files/..%2f..%2fetc/float', own, 404),
        ('/files/first/..%2f..%2fconfig.py', own, 404),
        ('/run/..%2f..%2fetc', own, 404),
    ):
        assert ask(path, **headers) == expected, path
    body = own | here | {'Content-Length': '21000000'}
    assert ask('/new', 'POST', **body) == 413


def test_runs_by_hand_appear(page, server):
    log = server.root / 'work_dirs/hand/20260101_000000/vis_data/scalars.json'
    log.parent.mkdir(parents=True)
    log.write_text('{"step": 20, "iter": 20, "loss": 1.5}\n')
    page.goto(f'{server.home}/runs')
    page.wait_for_selector('text=by-hand-work-dirs-hand', timeout=8000)


@pytest.mark.parametrize(('width', 'scheme'), [(1280, 'light'), (390, 'dark')])
def test_pages_can_be_read_by_all(browser, server, width, scheme):
    size = dict(width=width, height=800)
    with visit(browser, server, viewport=size, color_scheme=scheme) as page:
        runs = (server.root / 'runs').glob('*/run.json')
        for path in (*PAGES, *(f'/run/{run.parent.name}' for run in runs)):
            page.goto(server.home + path)
            page.wait_for_selector('h1')
            page.wait_for_timeout(300)
            page.evaluate(
                "document.querySelectorAll('details')"
                '.forEach(part => (part.open = true))'
            )
            assert page.evaluate(FITS), path
            assert page.locator('main').count() == 1, path
            unnamed = page.evaluate(
                "[...document.querySelectorAll('input, button, "
                "[role=slider]')].filter(e => e.offsetParent && "
                "e.getAttribute('tabindex') !== '-1' && "
                "!(e.labels?.length || e.getAttribute('aria-label') || "
                'e.textContent)).map(e => e.outerHTML)'
            )
            assert unnamed == [], path
            contrasts = page.evaluate(CONTRAST.read_text())
            assert len(contrasts) > 5
            assert [pair for pair in contrasts if pair[0] < 4.5] == [], path


def tab_to(page, name):
    """Press the tabulator until a control has the focus."""
    for _ in range(120):
        page.keyboard.press('Tab')
        label = page.evaluate(
            "document.activeElement.getAttribute('aria-label') ?? "
            'document.activeElement.textContent.trim()'
        )
        if label == name:
            return
    raise AssertionError(f'no way to {name} by the keyboard')


def test_a_run_is_started_by_the_keyboard_alone(browser, server):
    with visit(browser, server) as page:
        verdict(page, 'fit')
        tab_to(page, 'architecture')
        page.keyboard.type('tiny')
        page.wait_for_selector('[role=option]:has-text("tiny")')
        page.keyboard.press('ArrowDown')
        page.keyboard.press('Enter')
        tab_to(page, 'initial weights')
        page.keyboard.press('Enter')
        page.wait_for_selector('[role=option]:has-text("random weights")')
        page.keyboard.press('ArrowUp')
        page.keyboard.press('Enter')
        for label, value in (('stages to freeze', '0'), ('iterations', '9')):
            tab_to(page, label)
            page.keyboard.press('Control+a')
            page.keyboard.type(value)
        page.wait_for_timeout(600)
        button = page.get_by_role('button', name='Start training')
        page.wait_for_function(
            'button => !button.disabled', arg=button.element_handle()
        )
        values = page.evaluate("localStorage.getItem('playground-draft')")
        values = json.loads(values)['values']
        assert values['arch'] == 'FBNetV3_A_dsmask_tiny'
        assert values['initial_weights'] is None
        tab_to(page, 'Start training')
        page.keyboard.press('Enter')
        page.wait_for_url('**/run/*')
        tab_to(page, 'Stop and save')
        page.keyboard.press('Enter')
        state(page, 'stopped')
