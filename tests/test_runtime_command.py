"""python -m fbnetv3_runtime."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_utils

from fbnetv3_runtime import Mask, Result, draw, encode_mask
from fbnetv3_runtime.command import main

pytest.importorskip('onnx')
from runtime_model import save_colors  # noqa: E402

pytestmark = pytest.mark.same_on_upstream

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A model, and folders with pictures of the same names."""
    monkeypatch.chdir(tmp_path)
    save_colors('m.onnx')
    for name in ('a/x.png', 'b/x.jpg', 'b/x.png', 'b/deep/y.jpeg'):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Image.new('RGB', (640, 480), (255, 102, 51)).save(name)
    Path('a/notes.txt').write_text('no image')
    return tmp_path


def names_in(folder):
    files = (file for file in Path(folder).rglob('*') if file.is_file())
    return sorted(file.relative_to(folder).as_posix() for file in files)


def fails(capsys, *arguments):
    """Run the command; return what it says when it stops with status 2."""
    with pytest.raises(SystemExit) as stop:
        main(['m.onnx', *arguments])
    assert stop.value.code == 2
    return capsys.readouterr().err.splitlines()


def test_json():
    main(['m.onnx', 'a', '--json', 'new/found.json'])
    (entry,) = json.loads(Path('new/found.json').read_text())
    assert [*entry] == ['file', 'width', 'height', 'detections']
    assert (entry['width'], entry['height']) == (640, 480)
    assert Path(entry['file']) == Path('a/x.png')
    scores = [found.pop('score') for found in entry['detections']]
    assert scores == pytest.approx([0.95, 1, 0.4])  # 0.2 is under 0.3
    assert entry['detections'] == [
        {'box': [40, 80, 120, 160], 'label': 0, 'class': 'cell'},
        {'box': [0, 0, 640, 480], 'label': 1, 'class': 'red'},
        {'box': [0, 0, 640, 480], 'label': 2, 'class': 'green'},
    ]


def test_masks_are_coco_rle():
    masks = np.zeros((4, 28, 28), np.float32)
    masks[1, :14] = 1
    save_colors('m.onnx', masks, mask_thr=0.5)
    main(['m.onnx', 'a', '--json', 'found.json', '--out-dir', 'out'])
    (entry,) = json.loads(Path('found.json').read_text())
    empty, half, _ = (found['mask'] for found in entry['detections'])
    assert mask_utils.area(empty) == 0
    decoded = mask_utils.decode(half).astype(bool)
    assert decoded.shape == (480, 640)
    assert decoded[:240, 320].all() and not decoded[240:].any()


@pytest.mark.parametrize('share', [0, 0.02, 0.5, 0.98, 1])
def test_masks_of_any_shape(share):
    rng = np.random.default_rng(0)
    for size in [(1, 1), (1, 9), (7, 1), (40, 300)]:
        mask = rng.random(size) < share
        rle = encode_mask(mask)
        own = mask_utils.encode(np.asfortranarray(mask, np.uint8))
        assert rle == own | {'counts': own['counts'].decode()}


def test_pictures():
    main(['m.onnx', 'a', 'b', '--out-dir', 'out', '--json', 'out/all.json'])
    assert names_in('out') == [
        'all.json', 'deep/y.jpg', 'x.jpg', 'x_2.jpg', 'x_3.jpg',
    ]  # fmt: skip
    entries = json.loads(Path('out/all.json').read_text())
    assert {entry['file']: entry['picture'] for entry in entries} == {
        str(Path('a/x.png')): 'x.jpg',
        str(Path('b/deep/y.jpeg')): 'deep/y.jpg',
        str(Path('b/x.jpg')): 'x_2.jpg',
        str(Path('b/x.png')): 'x_3.jpg',
    }
    assert Image.open('out/x.jpg').size == (640, 480)


def test_drawing():
    masks = [Mask(np.ones((20, 20), bool), (30, 20), (80, 60))]
    found = Result(
        np.array([[30, 20, 50, 40]], np.float32), np.array([0.5], np.float32),
        np.array([0]), ['thing'], masks,
    )  # fmt: skip
    plain = Image.new('RGB', (80, 60), 'gray')
    pixels = np.asarray(draw(plain, found)).astype(int)
    # red at 45 % over grey, within the lines of the box
    middle = 0.55 * 128 + 0.45 * np.array([242, 61, 61])
    assert pixels[30, 40] == pytest.approx(middle, abs=2)
    below = np.argwhere((pixels[21:] != 128).any(2))  # under the text
    assert below.min(0).tolist() == [0, 29]  # a rim of 1 px
    assert below.max(0).tolist() == [20, 51]
    assert np.asarray(plain).max() == 128


def test_table(capsys):
    main(['m.onnx', 'a/x.png'])
    assert [line.split('\t') for line in capsys.readouterr().out.split('\n')][
        :2
    ] == [
        ['a/x.png', 'cell', '0.95', '40.0', '80.0', '120.0', '160.0'],
        ['a/x.png', 'red', '1.00', '0.0', '0.0', '640.0', '480.0'],
    ]


def test_unreadable_images_are_counted():
    Path('b/cut.jpg').write_bytes(Path('b/x.jpg').read_bytes()[:900])
    Path('b/text.bmp').write_text('no image')
    command = [sys.executable, '-m', 'fbnetv3_runtime', 'm.onnx']
    command += ['b', 'missing.jpg', '--out-dir', 'out', '--json', 'all.json']
    done = subprocess.run(
        command,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (2, '')
    *lines, count, last = done.stderr.splitlines()
    unread = [str(Path('b/cut.jpg')), str(Path('b/text.bmp')), 'missing.jpg']
    starts = [line.split(' is no readable image: ')[0] for line in lines]
    assert starts == unread
    assert count == '3 images'
    assert last == 'error: 3 of 6 images could not be read'
    assert len(json.loads(Path('all.json').read_text())) == 3
    assert names_in('out') == ['deep/y.jpg', 'x.jpg', 'x_2.jpg']


def test_lost_pictures_are_counted(capsys):
    long = Path('a', f'{"w" * 251}.png')  # two of them: x.jpg, x_2.jpg
    Image.new('RGB', (66_000, 20)).save('a/wide.png')
    for name in (long, long.with_suffix('.tif'), Path('a/name\n2.png')):
        Image.new('RGB', (64, 48)).save(name)
    lines = fails(capsys, 'a', '--out-dir', 'out', '--json', 'all.json')
    assert re.match(
        'out/wide.jpg cannot be .*: JPEG has at most 655', lines[0]
    )
    assert re.match('out/w{251}_2.jpg cannot be .* name too long', lines[1])
    assert lines[2:] == [
        '5 images',
        'error: 2 of 5 pictures could not be written',
    ]
    assert names_in('out') == ['name\n2.jpg', f'{"w" * 251}.jpg', 'x.jpg']
    entries = json.loads(Path('all.json').read_text())
    assert ['picture' in entry for entry in entries].count(False) == 2


def test_json_to_a_pipe():
    os.mkfifo('pipe')
    texts = []
    reader = threading.Thread(
        target=lambda: texts.append(Path('pipe').read_text()), daemon=True
    )
    reader.start()
    main(['m.onnx', 'a', '--json', 'pipe'])
    reader.join(10)
    assert Path('pipe').is_fifo()
    assert len(json.loads(texts[0])) == 1


def test_json_to_a_link():
    Path('old.json').write_text('old')
    for link, target in (('link', 'old.json'), ('dangling', 'new.json')):
        Path(link).symlink_to(target)
        main(['m.onnx', 'a', '--json', link])
        assert Path(link).is_symlink()
        assert len(json.loads(Path(target).read_text())) == 1


def test_file_with_a_higher_score(capsys):
    save_colors('m.onnx', score_thr=0.5)
    main(['m.onnx', 'a/x.png', '--json', 'all.json'])
    (entry,) = json.loads(Path('all.json').read_text())
    assert [d['class'] for d in entry['detections']] == ['cell', 'red']


def test_class_name_of_two_lines():
    save_colors('m.onnx', classes=['two\nlines', 'red'])
    main(['m.onnx', 'a', '--out-dir', 'out'])
    assert names_in('out') == ['x.jpg']


def test_bombs_are_refused(capsys, monkeypatch):
    # Pillow refuses more than twice as many
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 640 * 480 // 2 - 1)
    lines = fails(capsys, 'a', '--json', 'all.json')
    assert lines[0].startswith(f'{Path("a/x.png")} is no readable image: Imag')
    assert 'make it smaller, or set PIL.Image.MAX_IMAGE_PIXELS' in lines[0]
    assert lines[-1] == 'error: 1 of 1 images could not be read'


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ([], 'give either IMAGES or --video'),
        (['a', '--video', '0'], 'give either IMAGES or --video'),
        (['none'], r"\['none'\] have no files that end in \['\.bmp'"),
        (['a', '--score-thr', '30'], 'score_thr=30.0 is no score'),
        (['a', '--backend', 'torch'], "backend='torch' is unknown"),
        (['a', '--out-dir', 'a/found'], '--out-dir .*found lies in a folder'),
        (['a', '--out-dir', 'm.onnx'], '.*(Not a dir|File exists)'),
        (['b/x.jpg', '--out-dir', 'b'], '.*x.jpg is a folder, or what else '),
        (['a', '--json', 'm.onnx'], 'm.onnx is a folder, or what else is to'),
        (['a', '--json', 'a/x.png'], '.*x.png is a folder, or what else is '),
        (['a', '--json', 'b'], 'b is a folder, or what else is to be read or'),
        (['a', '--json', 'm.onnx/x.json'], '.*Not a directory'),
        (['a', '--json', 'x' * 256], '.*File name too long'),
        (['a', '--json', 'o', '--out-dir', 'o'], 'o is a folder, or what el'),
        (['a', '--json', 'o/x.jpg', '--out-dir', 'o'], 'o/x.jpg is a folder'),
        (['a', '--score-thr', '0.01'], 'score_thr=0.01 .*number from 0.05, w'),
        (['a', '--threads', '1000000'], 'threads=1000000 is no number of th'),
        (['--video', 'none.avi'], 'none.avi is no readable video or camera'),
    ],
)
def test_mistakes(arguments, message, folder, capsys, monkeypatch):
    # said before any image is read
    monkeypatch.setattr('fbnetv3_runtime.jobs.read_image', None)
    (folder / 'none').mkdir()
    before = {name: Path(name).read_bytes() for name in names_in('.')}
    *_, line = fails(capsys, *arguments)
    assert re.match(f'error: {message}', line)
    after = {name: Path(name).read_bytes() for name in names_in('.')}
    assert before == after


def test_damaged_model(capsys):
    Path('m.onnx').write_bytes(Path('m.onnx').read_bytes()[:-9])
    (line,) = fails(capsys, 'a', '--out-dir', 'out')
    assert line.startswith('error: m.onnx is no exported FBNetV3 detector: ')
    assert not Path('out').exists()


def test_nothing_is_left_half_written(monkeypatch, capsys):
    def fail(self, file, *args, **options):
        file.write(b'half')
        raise OSError(errno.ENOSPC, 'no space left')

    monkeypatch.setattr(Image.Image, 'save', fail)
    (line,) = fails(capsys, 'a', 'b', '--out-dir', 'out')
    assert line == 'error: [Errno 28] no space left'
    assert names_in('out') == []


@pytest.fixture
def film():
    """A film of two frames, the second blue."""
    cv2 = pytest.importorskip('cv2')
    codec = cv2.VideoWriter_fourcc(*'MJPG')
    writer = cv2.VideoWriter('film.avi', codec, 10, (64, 48))
    for blue in (0, 200):
        writer.write(np.full((48, 64, 3), (blue, 0, 0), np.uint8))
    writer.release()
    return ['--video', 'film.avi', '--out-dir', 'out', '--json', 'all.json']


def test_video(film):
    main(['m.onnx', *film])
    assert names_in('out') == ['film_000001.jpg', 'film_000002.jpg']
    first, second = json.loads(Path('all.json').read_text())
    assert (second['file'], second['frame']) == ('film.avi', 2)
    assert second['picture'] == 'film_000002.jpg'
    found = [[d['class'] for d in e['detections']] for e in (first, second)]
    assert found == [['cell'], ['cell', 'blue']]


def test_interrupting_a_video_writes_what_was_found(film, monkeypatch):
    save = Image.Image.save
    lines = Path('found.jsonl')

    def save_once_the_first_is_written(self, *args, **options):
        if self.getpixel((63, 47))[2] > 100:  # the second frame, blue
            while not lines.read_text():
                time.sleep(0.01)
            # Not SIGINT, which a job in the background ignores; the main
            # thread raises before it takes what this one comes to.
            main_thread = threading.main_thread().ident
            signal.pthread_kill(main_thread, signal.SIGTERM)
            raise OSError('its picture is never written')
        save(self, *args, **options)

    monkeypatch.setattr(Image.Image, 'save', save_once_the_first_is_written)
    main(['m.onnx', *film, '--jsonl', str(lines)])
    assert names_in('out') == ['film_000001.jpg']
    (entry,) = json.loads(Path('all.json').read_text())
    assert entry['frame'] == 1
    assert json.loads(lines.read_text()) == entry
