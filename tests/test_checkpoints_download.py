"""Downloads from a server on loopback: kept whole, or not at all."""

import hashlib
import io
import os
import re
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from mmengine.runner import CheckpointLoader, checkpoint
from random_detector import random_weights

from fbnetv3_mmdet.checkpoints import (
    ZOO,
    Published,
    fetch,
    load_safely,
    to_d2go,
)

pytestmark = pytest.mark.same_on_upstream

NAME = 'faster_rcnn_fbnetv3a_dsmask_C4'


@pytest.fixture(scope='module')
def weights():
    """Return a file in D2Go's layout."""
    load_safely()
    file = io.BytesIO()
    torch.save(dict(model=to_d2go(random_weights()), iteration=0), file)
    return file.getvalue()


class Server(ThreadingHTTPServer):
    """Answers each path in its own way, and counts how often."""

    def __init__(self, weights):
        super().__init__(('127.0.0.1', 0), Handler)
        middle = len(weights) // 2
        flipped = weights[:middle] + bytes([weights[middle] ^ 1])
        self.bodies = {
            '/good.pth': weights,
            '/short.pth': weights[:middle],
            '/cut.pth': weights[:middle],
            '/flipped.pth': flipped + weights[middle + 1 :],
            '/page.pth': b'<html>Sign in</html>',
            '/slow.pth': weights,
            '/once.pth': weights,
            '/busy.pth': weights,
        }
        self.lengths = {'/short.pth': len(weights)}
        self.requests = Counter()

    def url(self, name):
        return f'http://127.0.0.1:{self.server_port}/{name}'


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server, path = self.server, self.path
        server.requests[path] += 1
        first = server.requests[path] == 1
        if path == '/busy.pth' and first:
            return self.send_error(503)
        if path not in server.bodies:
            return self.send_error(404)
        if path == '/slow.pth':
            time.sleep(0.5)  # for the other process to come
        body = server.bodies[path]
        self.send_response(200)
        length = server.lengths.get(path, len(body))
        self.send_header('Content-Length', str(length))
        self.end_headers()
        if path == '/once.pth' and first:
            body = body[:1000]
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(weights, tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    server = Server(weights)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def kept(tmp_path):
    """Return the names of what is in the cache, but locks."""
    folder = tmp_path / 'hub/checkpoints'
    return {p.name for p in folder.iterdir() if p.suffix != '.lock'}


def test_a_published_name_is_downloaded_once(
    server, weights, tmp_path, monkeypatch
):
    digest = hashlib.sha256(weights).hexdigest()[:8]
    file = Published(server.url('good.pth'), digest)
    monkeypatch.setitem(ZOO, NAME, file)
    for _ in range(2):
        loaded = CheckpointLoader.load_checkpoint(f'd2go://{NAME}')
        assert len(loaded['state_dict']) == 295
    assert server.requests == {'/good.pth': 1}
    cached = tmp_path / f'hub/checkpoints/{NAME}.pth'
    assert cached.read_bytes() == weights
    assert kept(tmp_path) == {cached.name}


def test_a_url_is_read_in_the_same_way(server, tmp_path):
    url = server.url('good.pth') + '?download=1'
    server.bodies['/good.pth?download=1'] = server.bodies['/good.pth']
    loaded = CheckpointLoader.load_checkpoint(url)
    assert len(loaded['model']) == 295
    (name,) = kept(tmp_path)
    assert re.fullmatch(r'good-\w{8}\.pth', name)


def test_urls_with_one_file_name_are_told_apart(server, tmp_path):
    for number in (1, 2):
        torch.save(dict(number=number), tmp_path / 'best.pth')
        body = (tmp_path / 'best.pth').read_bytes()
        server.bodies[f'/{number}/best.pth'] = body
    loaded = [
        CheckpointLoader.load_checkpoint(server.url(f'{number}/best.pth'))
        for number in (1, 2, 1)
    ]
    assert loaded == [dict(number=1), dict(number=2), dict(number=1)]


def test_a_model_zoo_runs_no_code(server, tmp_path, monkeypatch):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / 'ran'),)

    torch.save(Evil(), tmp_path / 'evil.pth')
    server.bodies['/evil.pth'] = (tmp_path / 'evil.pth').read_bytes()
    urls = {'evil': server.url('evil.pth')}
    monkeypatch.setattr(checkpoint, 'get_torchvision_models', lambda: urls)
    with pytest.raises(OSError, match='evil.pth'):
        CheckpointLoader.load_checkpoint('torchvision://evil')
    assert not (tmp_path / 'ran').exists()


@pytest.mark.parametrize('path', ['once.pth', 'busy.pth'])
def test_a_broken_download_is_retried(server, weights, path):
    with open(fetch(Published(server.url(path)), path), 'rb') as file:
        assert file.read() == weights
    assert server.requests == {f'/{path}': 2}


@pytest.mark.parametrize(
    ('path', 'reason', 'tries'),
    [
        ('short.pth', 'not a whole file of torch.save', 3),
        ('cut.pth', 'not a whole file of torch.save', 3),
        ('flipped.pth', 'wrong checksum', 3),
        ('page.pth', 'refused', 3),
        ('missing.pth', 'HTTP Error 404: Not Found', 1),
    ],
)
def test_what_stays_broken_is_refused(server, tmp_path, path, reason, tries):
    url = server.url(path)
    with pytest.raises(OSError) as error:
        fetch(Published(url), 'x.pth', 'd2go://')
    message = str(error.value)
    assert message.startswith(f'{url} could not be downloaded: ')
    assert reason in message
    assert message.endswith('download it by hand and give d2go://PATH instead')
    assert '\n' not in message
    assert server.requests == {f'/{path}': tries}
    assert kept(tmp_path) == set()


def test_a_wrong_hash_is_refused(server, tmp_path, monkeypatch):
    monkeypatch.setitem(
        ZOO, NAME, Published(server.url('good.pth'), '0123abcd')
    )
    with pytest.raises(OSError, match='invalid hash value .*"0123abcd"'):
        CheckpointLoader.load_checkpoint(f'd2go://{NAME}')
    assert kept(tmp_path) == set()


def test_no_server_is_named(server):
    server.shutdown()
    server.server_close()
    url = server.url('good.pth')
    with pytest.raises(OSError, match=f'{url} could not .* refused'):
        fetch(Published(url), 'x.pth')


def test_of_several_at_once_one_downloads(server, weights):
    file = Published(server.url('slow.pth'))
    paths = []
    threads = [
        threading.Thread(target=lambda: paths.append(fetch(file, 'x.pth')))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(paths) == 3
    assert len(torch.load(paths[0], weights_only=True)['model']) == 295
    assert server.requests == {'/slow.pth': 1}
