"""fbnetv3_runtime: from an image to results in its pixels."""

import io
import pickle
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fbnetv3_runtime
from fbnetv3_runtime import BACKENDS, Detector

pytest.importorskip('onnx')
from runtime_model import network_input, save_colors, save_echo  # noqa: E402

pytestmark = pytest.mark.same_on_upstream

ROOT = Path(__file__).resolve().parents[1]
RED = Image.new('RGB', (640, 480), (255, 102, 51))  # 480x360 in the network


@pytest.fixture(params=BACKENDS)
def backend(request):
    pytest.importorskip(request.param)
    return request.param


def run_script(script, folder, python_path=str(ROOT), timeout=None):
    """Run a script in a process of its own, in a folder."""
    return subprocess.run(
        [sys.executable, '-c', script],
        cwd=folder,
        env={'PYTHONPATH': python_path},
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def test_results_are_in_pixels_of_the_image(backend, tmp_path):
    detector = Detector(save_colors(tmp_path / 'm.onnx'), backend, threads=1)
    found = detector.predict(RED)
    whole = [0, 0, 640, 480]
    # a third larger than in the network
    assert found.boxes.tolist() == [[40, 80, 120, 160], whole, whole, whole]
    assert found.scores == pytest.approx([0.95, 1, 0.4, 0.2])
    assert found.labels.tolist() == [0, 1, 2, 3]
    assert found.names == ['cell', 'red', 'green', 'blue']
    assert found.masks is None
    assert [v.dtype for v in found[:3]] == [np.float32, np.float32, np.int64]
    assert detector.metadata['config'] == 'model = dict()'


def test_least_score(backend, tmp_path):
    model = save_colors(tmp_path / 'm.onnx')
    detector = Detector(model, backend, 1, score_thr=0.5)
    assert detector.predict(RED).names == ['cell', 'red']
    black = Image.new('RGB', (640, 480))
    assert Detector(model, backend, 1, 0.96).predict(black).boxes.shape == (
        0,
        4,
    )


def test_label_without_name(tmp_path):
    model = save_colors(tmp_path / 'm.onnx', classes=['cell', 'red'])
    names = Detector(model).predict(RED).names
    assert names == ['cell', 'red', 'class 2', 'class 3']


def test_fixed_size_is_padded_with_the_mean_colour(backend, tmp_path):
    model = save_echo(
        tmp_path / 'm.onnx', size=[6, 8], mean=[123.675, 116.5, 7]
    )
    image = np.zeros((2, 4, 3), np.uint8) + np.uint8([9, 8, 7])
    pixels = network_input(model, image, backend).reshape(6, 8, 3)
    assert (pixels[:4] == [9, 8, 7]).all()  # 8 x 4: twice as large
    assert (pixels[4:] == [124, 116, 7]).all()


def test_fixed_size_finds_nothing_beside_the_picture(backend, tmp_path):
    model = save_colors(tmp_path / 'm.onnx', size=[200, 100])
    detector = Detector(model, backend)
    # the picture becomes 100 x 50, and BOX begins below, at 60
    found = detector.predict(Image.new('RGB', (200, 100)))
    assert found.names == ['red', 'green', 'blue']
    assert found.boxes.tolist() == [[0, 0, 200, 100]] * 3


def test_masks_are_pasted_into_their_boxes(backend, tmp_path):
    masks = np.zeros((4, 28, 28), np.float32)
    masks[0] = 1
    masks[1, :14] = 1  # the upper half
    masks[2, :, :7] = 1  # the left quarter
    model = save_colors(tmp_path / 'm.onnx', masks, mask_thr=0.5)
    found = Detector(model, backend, threads=1).predict(RED)
    # of the box and a pixel around it, not of the image
    assert found.masks[0].pixels.shape == (82, 82)
    masks = [mask.full() for mask in found.masks]
    assert {(mask.dtype, mask.shape) for mask in masks} == {
        (np.dtype(bool), (480, 640))
    }
    square = np.zeros((480, 640), bool)
    square[80:160, 40:120] = True
    # at the corners 0.5 + 0.5 * 28 / 80 of the mask, both ways: 0.46
    square[[80, 80, 159, 159], [40, 119, 40, 119]] = False
    assert (masks[0] == square).all()
    assert np.flatnonzero(masks[1][:, 320]).tolist() == [*range(240)]
    assert np.flatnonzero(masks[2][240]).tolist() == [*range(160)]
    assert not masks[3].any()


def test_batch(tmp_path):
    detector = Detector(save_colors(tmp_path / 'm.onnx'))
    colors = 'red', 'lime', 'blue'
    pictures = (Image.new('RGB', (64, 48), color) for color in colors)
    results = detector.predict_batch(pictures)
    assert next(results).scores.tolist()[1:] == [1, 0, 0]
    assert [r.scores.tolist()[1:] for r in results] == [[0, 1, 0], [0, 0, 1]]


def test_video(tmp_path):
    cv2 = pytest.importorskip('cv2')
    file = str(tmp_path / 'film.avi')
    codec = cv2.VideoWriter_fourcc(*'MJPG')
    writer = cv2.VideoWriter(file, codec, 10, (64, 48))
    for blue in (0, 100, 200):
        writer.write(np.full((48, 64, 3), (blue, 0, 0), np.uint8))
    writer.release()
    detector = Detector(save_colors(tmp_path / 'm.onnx'))
    frames = list(detector.predict_video(file))
    assert [frame.shape for frame, _ in frames] == [(48, 64, 3)] * 3
    blues = [found.scores[3] * 255 for _, found in frames]
    assert blues == pytest.approx([0, 100, 200], abs=3)
    means = [frame[..., 2].mean() for frame, _ in frames]
    assert means == pytest.approx(blues, abs=0.1)
    (tmp_path / 'text.avi').write_text('no film')
    for source in (tmp_path / 'text.avi', str(tmp_path / 'missing.avi')):
        with pytest.raises(ValueError, match=r'\.avi is no readable video'):
            next(detector.predict_video(source))


def test_threads_get_the_results_of_their_own_images(backend, tmp_path):
    detector = Detector(save_colors(tmp_path / 'm.onnx'), backend)
    levels = [20 + 3 * i for i in range(60)]  # of red, in an image each
    images = [Image.new('RGB', (480, 360), (level, 0, 0)) for level in levels]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(detector.predict, images))
    scores = [one.scores[one.labels == 1].item() for one in found]
    assert scores == pytest.approx([level / 255 for level in levels])


def test_more_callers_than_slots(backend, tmp_path):
    """A web service's threads: 100 requests at the same time."""
    model = save_colors(tmp_path / 'm.onnx')
    detector = Detector(model, backend, threads=1, parallel=2)
    levels = [5 + 2 * i for i in range(100)]
    images = [Image.new('RGB', (480, 360), (level, 0, 0)) for level in levels]
    start = threading.Barrier(100)

    def request(image):
        start.wait()
        return detector.predict(image)

    with ThreadPoolExecutor(100) as pool:
        found = list(pool.map(request, images))
    scores = [one.scores[one.labels == 1].item() for one in found]
    assert scores == pytest.approx([level / 255 for level in levels])


def test_first_images_at_the_same_time(tmp_path):
    """OpenVINO's binding, left to itself, waits for ever in a third."""
    pytest.importorskip('openvino')
    save_colors(tmp_path / 'm.onnx')
    script = (
        'import sys, threading\n'
        'from concurrent.futures import ThreadPoolExecutor\n'
        'from PIL import Image\n'
        'from fbnetv3_runtime import Detector\n'
        'sys.setswitchinterval(1e-6)\n'
        'one = Detector("m.onnx", "openvino", threads=1, parallel=4)\n'
        'start = threading.Barrier(4)\n'
        'image = Image.new("RGB", (64, 48))\n'
        'def request(_):\n'
        '    start.wait()\n'
        '    return one.predict(image).names[0]\n'
        'with ThreadPoolExecutor(4) as pool:\n'
        '    print(*pool.map(request, range(4)))\n'
    )
    for _ in range(6):
        done = run_script(script, tmp_path, timeout=60)
        assert done.stdout == 'cell cell cell cell\n'


def test_generators_side_by_side(backend, tmp_path):
    detector = Detector(save_colors(tmp_path / 'm.onnx'), backend, threads=1)
    reds = (Image.new('RGB', (64, 48), (n, 0, 0)) for n in range(30))
    greens = (Image.new('RGB', (64, 48), (0, n, 0)) for n in range(30))
    batches = map(detector.predict_batch, (reds, greens))
    for n, (red, green) in enumerate(zip(*batches, strict=True)):
        assert red.scores.tolist()[1:] == pytest.approx([n / 255, 0, 0])
        assert green.scores.tolist()[1:] == pytest.approx([0, n / 255, 0])


def test_batch_gives_all_before_what_cannot_be_read(tmp_path):
    detector = Detector(save_colors(tmp_path / 'm.onnx'))
    results = detector.predict_batch([RED, RED, tmp_path / 'missing.png', RED])
    assert len([next(results), next(results)]) == 2
    with pytest.raises(ValueError, match='missing.png is no readable image'):
        next(results)

    def images():
        yield RED
        raise OSError('the camera is gone')

    results = detector.predict_batch(images())
    assert next(results).names[0] == 'cell'
    with pytest.raises(OSError, match='the camera is gone'):
        next(results)


def test_pickles_by_path_and_by_bytes(backend, tmp_path, monkeypatch):
    save_colors(tmp_path / 'm.onnx')
    monkeypatch.chdir(tmp_path)
    content = Path('m.onnx').read_bytes()
    whole = [0, 0, 640, 480]
    for model in ('m.onnx', content, io.BytesIO(content)):
        detector = Detector(model, backend, threads=1, score_thr=0.5)
        packed = pickle.dumps(detector)
        assert (len(packed) < 1000) == (model == 'm.onnx')
        monkeypatch.chdir('/')  # another process is elsewhere
        copy = pickle.loads(packed)
        assert (copy.score_thr, copy.metadata) == (0.5, detector.metadata)
        assert copy.predict(RED).boxes.tolist()[1:] == [whole]
        monkeypatch.chdir(tmp_path)


def test_images_as_bytes_and_files(tmp_path):
    file = io.BytesIO()
    RED.save(file, 'PNG')
    detector = Detector(save_colors(tmp_path / 'm.onnx'))
    for image in (file.getvalue(), file):
        assert detector.predict(image).scores[1:] == pytest.approx(
            [1, 0.4, 0.2]
        )


def test_devices(tmp_path):
    model = save_colors(tmp_path / 'm.onnx')
    with pytest.raises(ValueError) as caught:
        Detector(model, 'onnxruntime', device='quantum')
    assert "device='quantum' is none of the installed ONNX Runtime, whi" in (
        str(caught.value)
    )
    assert "'cpu'" in str(caught.value)
    assert Detector(model, 'onnxruntime', device='CPU').predict(RED).names
    pytest.importorskip('openvino')
    with pytest.raises(ValueError, match="finds here, which are .*'CPU'"):
        Detector(model, 'openvino', device='npu:7')
    assert Detector(model, 'openvino', device='auto').predict(RED).names


def test_a_backend_that_fails_is_named(backend, tmp_path):
    detector = Detector(save_colors(tmp_path / 'm.onnx'), backend)
    with pytest.raises(ValueError, match=f'^{backend} fails with an input'):
        detector._run_network(np.zeros((1, 4, 4, 2), np.uint8))


def test_memory_that_is_full_is_nobodys_fault(tmp_path, monkeypatch):
    detector = Detector(save_colors(tmp_path / 'm.onnx'))

    def fill(self, *args):
        raise MemoryError

    monkeypatch.setattr(Image.Image, 'load', fill)
    with pytest.raises(MemoryError):
        detector.predict(RED)


def test_large_jpegs_are_decoded_small(tmp_path):
    """Below twice the network's input all pixels count, as ever."""
    model = save_echo(
        tmp_path / 'm.onnx', resize=dict(scale=[320, 240], keep_ratio=True)
    )
    detector = Detector(model)
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (30, 40, 3), np.uint8))
    for (width, height), read in {
        (636, 477): (636, 477),
        (640, 480): (640, 480),
        (1290, 968): (645, 484),
        (4000, 3000): (1000, 750),
        (8001, 6000): (1001, 750),
    }.items():
        file = tmp_path / 'x.jpg'
        noise.resize((width, height)).save(file, quality=90)
        photo = detector.read(file)
        assert (photo.size, photo.picture.size) == ((width, height), read)
        pixels, fit = detector.resize(*photo[:2])
        whole = Image.open(file)
        expected = np.asarray(whole.resize(fit, Image.Resampling.BILINEAR))
        assert fit == (320, 240)
        if read == (width, height):
            assert (pixels == expected).all()
        else:
            assert abs(pixels.astype(int) - expected).mean() < 1.5
    boxes = Detector(save_colors(tmp_path / 'm.onnx')).predict(file).boxes
    assert boxes[1].tolist() == [0, 0, 8001, 6000]


def test_runs_as_a_copied_folder_without_what_trains(tmp_path):
    save_colors(tmp_path / 'm.onnx')
    RED.save(tmp_path / 'red.png')
    folder = Path(fbnetv3_runtime.__file__).parent
    shutil.copytree(folder, tmp_path / 'fbnetv3_runtime')
    script = (
        'import sys\n'
        'import fbnetv3_runtime\n'
        'light = {name.partition(".")[0] for name in sys.modules}\n'
        'fbnetv3_runtime.Detector("m.onnx").predict("red.png")\n'
        'heavy = {name.partition(".")[0] for name in sys.modules}\n'
        'print(fbnetv3_runtime.__file__, *(light & {"onnxruntime",'
        ' "openvino", "cv2"}), *(heavy & {"torch", "torchvision", "mmdet",'
        ' "mmcv", "mmengine", "fbnetv3_mmdet", "onnx"}))\n'
    )
    done = run_script(script, tmp_path, python_path='')
    file = str(tmp_path / 'fbnetv3_runtime' / '__init__.py')
    assert (done.stdout.split(), done.stderr) == ([file], '')


@pytest.mark.parametrize(
    ('arguments', 'error', 'message'),
    [
        (dict(backend='tensorrt'), ValueError, "'tensorrt' is unknown; choo"),
        (dict(threads=0), ValueError, 'threads=0 is no number of threads'),
        (dict(threads='2'), ValueError, "threads='2' is no number of thr"),
        (dict(threads=10**6), ValueError, 'threads=1000000 is .* give 1 to 2'),
        (dict(parallel=0), ValueError, 'parallel=0 is no number of images'),
        (dict(score_thr=30), ValueError, 'score_thr=30 is no score that'),
        (dict(score_thr='0.5'), ValueError, "score_thr='0.5' is no score"),
        (dict(score_thr=0.04), ValueError, '=0.04 .* a number from 0.05, wi'),
        (dict(score_thr=float('nan')), ValueError, 'score_thr=nan is no sc'),
    ],
)
def test_wrong_arguments(arguments, error, message, tmp_path):
    model = save_colors(tmp_path / 'm.onnx')
    with pytest.raises(error, match=message):
        Detector(model, **arguments)


@pytest.mark.parametrize(
    ('missing', 'use', 'message'),
    [
        ('onnxruntime openvino', 'Detector("m.onnx")', 'onnxruntime or openv'),
        ('openvino', 'Detector("m.onnx", "openvino")', 'openvino is missing:'),
        (
            'cv2',
            'next(Detector("m.onnx").predict_video(0))',
            'videos and cameras need OpenCV: pip install opencv-python-head',
        ),
    ],
)
def test_missing_packages(missing, use, message, tmp_path):
    save_colors(tmp_path / 'm.onnx')
    script = (
        f'import sys\nfor name in {missing!r}.split():\n'
        '    sys.modules[name] = None\n'
        f'from fbnetv3_runtime import Detector\n{use}'
    )
    done = run_script(script, tmp_path)
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f'ImportError: {message}')


def test_signals_are_handled_where_detectors_have_gone(tmp_path):
    save_colors(tmp_path / 'm.onnx')
    script = (
        'import signal\n'
        # a job in the background may have been started with it ignored
        'signal.signal(signal.SIGINT, signal.default_int_handler)\n'
        'from fbnetv3_runtime import Detector\n'
        'one, two = (Detector("m.onnx", "openvino") for _ in range(2))\n'
        'del one\n'
        'del two\n'
        'try:\n'
        '    signal.raise_signal(signal.SIGINT)\n'
        'except KeyboardInterrupt:\n'
        '    print("handled")\n'
    )
    done = run_script(script, tmp_path)
    assert (done.returncode, done.stdout) == (0, 'handled\n')
