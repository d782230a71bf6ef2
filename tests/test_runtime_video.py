"""Videos and cameras: what is cut, ruined or stalled is not passed over."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from fbnetv3_runtime import Detector, video
from fbnetv3_runtime.command import main
from fbnetv3_runtime.video import FramesLost, Video

pytest.importorskip('onnx')
cv2 = pytest.importorskip('cv2')
from runtime_model import save_colors  # noqa: E402

pytestmark = pytest.mark.same_on_upstream

ROOT = Path(__file__).resolve().parents[1]
NUMBER = 30  # frames


@pytest.fixture
def film(tmp_path, monkeypatch):
    """A film whose frames turn from black to red."""
    monkeypatch.chdir(tmp_path)
    save_colors('m.onnx')
    codec = cv2.VideoWriter_fourcc(*'MJPG')
    writer = cv2.VideoWriter('film.avi', codec, 12.5, (64, 48))
    for number in range(NUMBER):
        writer.write(np.full((48, 64, 3), (0, 0, 8 * number), np.uint8))
    writer.release()
    return Path('film.avi')


def starts(content):
    """Return where the JPEGs of a film begin."""
    found, at = [], content.find(b'\xff\xd8\xff')
    while at >= 0:
        found.append(at)
        at = content.find(b'\xff\xd8\xff', at + 1)
    return found


def read(film):
    """Return the numbers of the frames that are read, and the error."""
    numbers = []
    try:
        for number, _ in Video(film):
            numbers.append(number)
    except FramesLost as error:
        return numbers, str(error)
    return numbers, None


def test_whole(film):
    assert read(film) == ([*range(1, NUMBER + 1)], None)
    assert (Video(film).fps, Video(film).frames) == (12.5, NUMBER)
    assert not Video(film).is_live


def test_cut(film, capsys):
    content = film.read_bytes()
    film.write_bytes(content[: starts(content)[20]])
    message = '10 of 30 frames of film.avi could not be read; copy or record i'
    numbers, error = read(film)
    assert numbers == [*range(1, 21)] and error.startswith(message)
    with pytest.raises(SystemExit) as stop:
        main(['m.onnx', '--video', 'film.avi', '--json', 'all.json'])
    assert stop.value.code == 2
    count, last = capsys.readouterr().err.splitlines()
    assert count == '20 images' and last.startswith(f'error: {message}')
    assert len(json.loads(Path('all.json').read_text())) == 20
    frames = Detector('m.onnx').predict_video(film)
    assert [next(frames)[1].labels[0] for _ in range(20)] == [0] * 20
    with pytest.raises(ValueError, match='^10 of 30 frames'):
        next(frames)


@pytest.mark.parametrize('ruined', [[0], [11], [11, 12, 29]])
def test_ruined_frames(ruined, film):
    content = bytearray(film.read_bytes())
    for index in ruined:
        start = starts(film.read_bytes())[index]
        end = content.index(b'\xff\xd9', start)
        content[start:end] = bytes(end - start)
    film.write_bytes(content)
    numbers, error = read(film)
    assert numbers == [n + 1 for n in range(NUMBER) if n not in ruined]
    assert error.startswith(f'{len(ruined)} of 30 frames of film.avi could')


def test_json_lines_and_film(film, capfd):
    options = ['--jsonl', 'new/all.jsonl', '--out-video', 'out.avi']
    main(['m.onnx', '--video', 'film.avi', *options, '--json', 'all.json'])
    lines = Path('new/all.jsonl').read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    assert entries == json.loads(Path('all.json').read_text())
    assert [entry['frame'] for entry in entries] == [*range(1, NUMBER + 1)]
    out = Video('out.avi')
    assert (out.fps, out.frames) == (12.5, NUMBER)
    frames = [frame.astype(int) for _, frame in out]
    # where nothing is drawn it is the film, which turns from black to red
    reds = [frame[44, 40, 0] for frame in frames]
    assert reds == pytest.approx([8 * n for n in range(NUMBER)], abs=16)
    assert not [*Path().glob('.partial*')]


@pytest.mark.parametrize('kind', ['film', 'images'])
def test_signal_leaves_what_was_found(kind, film):
    """A camera box is stopped so; a folder's run says that it is partial."""
    source = ['--video', 'film.avi']
    if kind == 'images':
        Path('photos').mkdir()
        for number in range(2000):
            pixels = np.full((48, 64, 3), number % 256, np.uint8)
            cv2.imwrite(f'photos/{number}.png', pixels)
        source = ['photos']
    else:
        codec = cv2.VideoWriter_fourcc(*'MJPG')
        writer = cv2.VideoWriter('film.avi', codec, 25, (64, 48))
        for number in range(20_000):
            writer.write(np.full((48, 64, 3), number % 256, np.uint8))
        writer.release()
    process = subprocess.Popen(
        [sys.executable, '-m', 'fbnetv3_runtime', 'm.onnx', *source]
        + ['--json', 'all.json', '--jsonl', 'all.jsonl'],
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    lines, deadline = Path('all.jsonl'), time.monotonic() + 60
    while not (lines.exists() and lines.read_text().count('\n') > 20):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    entries = json.loads(Path('all.json').read_text())
    assert 20 < len(entries) < 2000 or kind == 'film'
    assert lines.read_text().count('\n') == len(entries)
    if kind == 'film':
        assert process.returncode == 0
    else:
        assert process.returncode == 128 + signal.SIGTERM
        error = f'error: stopped by SIGTERM after {len(entries)} of 2000'
        assert said.splitlines()[-1] == error


class Camera(BaseHTTPRequestHandler):
    """Sends some frames of Motion JPEG, and then none."""

    def do_GET(self):
        self.server.visits += 1
        _, jpeg = cv2.imencode('.jpg', np.zeros((48, 64, 3), np.uint8))
        kind = 'multipart/x-mixed-replace; boundary=next'
        self.send_response(200)
        self.send_header('Content-Type', kind)
        self.end_headers()
        try:
            for _ in range(40 if self.server.visits <= 2 else 0):
                head = b'--next\r\nContent-Type: image/jpeg\r\n'
                head += b'Content-Length: %d\r\n\r\n' % len(jpeg)
                self.wfile.write(head + jpeg.tobytes() + b'\r\n')
            self.server.over.wait(20)
        except OSError:
            pass

    def log_message(self, *args):
        pass


def test_camera_that_stalls_is_opened_again(monkeypatch):
    """OpenCV itself would wait for half a minute, and then say nothing."""
    server = ThreadingHTTPServer(('127.0.0.1', 0), Camera)
    server.visits, server.over = 0, threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(video, 'STALL', 1.5)
    monkeypatch.setattr(video, 'PAUSE', 0.05)
    monkeypatch.setattr(video, 'TRIES', 2)
    url = f'http://127.0.0.1:{server.server_port}/camera.mjpg'
    try:
        camera = Video(url)
        assert camera.is_live
        frames = []
        with pytest.raises(FramesLost) as caught:
            frames += (number for number, _ in camera)
    finally:
        server.over.set()
        server.shutdown()
    assert str(caught.value).startswith(f'{url} gives no frames after ')
    assert server.visits >= 3
