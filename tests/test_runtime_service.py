"""The pages of docs/deploy.md that others build on: a service, a browser."""

import http.client
import io
import json
import os
import re
import shutil
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fbnetv3_runtime import Detector

pytest.importorskip('onnx')
from runtime_model import save_colors  # noqa: E402

pytestmark = pytest.mark.same_on_upstream
PAGE = Path(__file__).parents[1] / 'docs/deploy.md'
CLIENTS = 100


def read_code(language, word):
    """Return the page's block of code with a word in it."""
    pattern = rf'```{language}\n(.*?)```'
    blocks = re.findall(pattern, PAGE.read_text(), re.DOTALL)
    (code,) = (block for block in blocks if word in block)
    return code


@pytest.fixture
def port(tmp_path, monkeypatch):
    """The page's service, of a detector that tells colours."""
    pytest.importorskip('fastapi')
    uvicorn = pytest.importorskip('uvicorn')
    model = save_colors(tmp_path / 'm.onnx')
    monkeypatch.setenv('MODEL', str(model))
    code = read_code('python', 'FastAPI')
    assert len([line for line in code.splitlines() if line]) <= 20
    names = {}
    exec(compile(code, 'serve.py', 'exec'), names)
    # its logging would close the handlers of other tests
    config = uvicorn.Config(names['app'], port=0, log_config=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join(10)


def test_a_hundred_clients_get_their_own_objects(port):
    start = threading.Barrier(CLIENTS)

    def ask(number):
        file = io.BytesIO()
        Image.new('RGB', (480, 360), (100 + number, 0, 0)).save(file, 'PNG')
        connection = http.client.HTTPConnection('127.0.0.1', port, timeout=60)
        start.wait()
        connection.request('POST', '/detect', file.getvalue())
        reply = connection.getresponse()
        return reply.status, json.loads(reply.read())

    with ThreadPoolExecutor(CLIENTS) as pool:
        replies = list(pool.map(ask, range(CLIENTS)))
    assert {status for status, _ in replies} == {200}
    scores = [
        {found['name']: found['score'] for found in objects}['red']
        for _, objects in replies
    ]
    reds = [(100 + number) / 255 for number in range(CLIENTS)]
    assert scores == pytest.approx(reds)


@pytest.mark.parametrize('body', [b'', b'no image'])
def test_what_is_no_image_is_the_clients_mistake(body, port):
    connection = http.client.HTTPConnection('127.0.0.1', port, timeout=60)
    connection.request('POST', '/detect', body)
    reply = connection.getresponse()
    assert reply.status == 422
    assert b'is no readable image' in reply.read()


def test_browser_finds_the_same(tmp_path):
    """Where Node is, and ONNXRUNTIME_WEB names a folder that npm filled."""
    folder = os.environ.get('ONNXRUNTIME_WEB')
    if not (folder and shutil.which('node')):
        pytest.skip('needs node, and ONNXRUNTIME_WEB=folder of npm install')
    model = os.environ.get('MODEL') or save_colors(tmp_path / 'm.onnx')
    detector = Detector(model)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (36, 48, 3), np.uint8)
    picture = Image.fromarray(pixels).resize((640, 480))
    pixels, _ = detector.resize(picture)
    (tmp_path / 'pixels').write_bytes(pixels.tobytes())
    modules = Path(folder).resolve() / 'node_modules'
    (tmp_path / 'node_modules').symlink_to(modules)
    height, width, _ = pixels.shape
    code = read_code('js', 'onnxruntime-web')
    head, body = code.split('\n\n')
    (tmp_path / 'detect.mjs').write_text(
        f"import {{readFileSync}} from 'node:fs';\n{head}\n"
        "const pixels = new Uint8Array(readFileSync('pixels'));\n"
        f'const [height, width] = [{height}, {width}];\n'
        + body.replace("'mine.onnx'", f"readFileSync('{model}')")
        + 'const parts = [boxes, scores, labels];\n'
        'console.log(JSON.stringify(parts.map(p => [...p.data].map(Number))))'
    )
    done = subprocess.run(
        ['node', 'detect.mjs'], cwd=tmp_path, capture_output=True, text=True
    )
    boxes, scores, labels = json.loads(done.stdout)
    found = detector._run(pixels[None])
    assert len(labels) and labels == found['labels'].tolist()
    assert boxes == pytest.approx(found['boxes'].ravel().tolist(), abs=1e-3)
    assert scores == pytest.approx(found['scores'].tolist(), abs=1e-5)
