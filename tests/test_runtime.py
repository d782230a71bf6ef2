"""fbnetv3_runtime: from an image to results in its pixels."""

import shutil
import subprocess
import sys
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


def run_script(script, folder, python_path=str(ROOT)):
    """Run a script in a process of its own, in a folder."""
    return subprocess.run(
        [sys.executable, '-c', script],
        cwd=folder,
        env={'PYTHONPATH': python_path},
        capture_output=True,
        text=True,
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
    assert (found.masks.dtype, found.masks.shape) == (bool, (4, 480, 640))
    square = np.zeros((480, 640), bool)
    square[80:160, 40:120] = True
    # at the corners 0.5 + 0.5 * 28 / 80 of the mask, both ways: 0.46
    square[[80, 80, 159, 159], [40, 119, 40, 119]] = False
    assert (found.masks[0] == square).all()
    assert np.flatnonzero(found.masks[1, :, 320]).tolist() == [*range(240)]
    assert np.flatnonzero(found.masks[2, 240]).tolist() == [*range(160)]
    assert not found.masks[3].any()


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
