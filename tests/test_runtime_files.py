"""fbnetv3_runtime refuses damaged and foreign models, in one line."""

import numpy as np
import pytest

from fbnetv3_runtime import BACKENDS, Detector, read_metadata

onnx = pytest.importorskip('onnx')
from runtime_model import METADATA, save_colors  # noqa: E402

pytestmark = pytest.mark.same_on_upstream

REMEDY = '; give a file that tools/export.py wrote; if damaged, copy it a'


def refused(path, *arguments):
    """Return why a file is refused, a single line that names it."""
    with pytest.raises(ValueError) as caught:
        Detector(path, *arguments)
    message = str(caught.value)
    assert message.startswith(f'{path} ') and REMEDY in message
    assert '\n' not in message and len(message) < 1100
    return message


@pytest.fixture
def model(tmp_path):
    return save_colors(tmp_path / 'm.onnx')


@pytest.mark.parametrize('backend', BACKENDS)
def test_metadata(backend, model):
    assert read_metadata(model) == METADATA
    assert Detector(model, backend).metadata == METADATA


@pytest.mark.parametrize('name', ['missing.onnx', '.'])
def test_no_file(name, tmp_path):
    assert 'Errno' in refused(tmp_path / name)


@pytest.mark.parametrize('model', [None, 0, ['m.onnx'] * 999])
def test_no_path(model):
    kind = type(model).__name__
    with pytest.raises(ValueError, match=f'a model of type {kind} is no path'):
        Detector(model)


def test_name_of_two_lines(tmp_path):
    path = tmp_path / 'two\nlines.onnx'
    path.touch()
    with pytest.raises(ValueError) as caught:
        Detector(path)
    message = str(caught.value)
    assert message.startswith(f'{str(path)!r} is no exported FBNetV3 detect')


@pytest.mark.parametrize('backend', BACKENDS)
@pytest.mark.parametrize(
    'content',
    [b'', b'\xff\xd8\xff\xe0 a photograph', b'PK\x03\x04', b'\xff' * 40],
    ids=range(4),
)
def test_foreign_files(content, backend, tmp_path):
    path = tmp_path / 'm.onnx'
    path.write_bytes(content)
    assert 'is no exported FBNetV3 detector: ' in refused(path, backend)


@pytest.mark.parametrize('backend', BACKENDS)
@pytest.mark.parametrize(
    ('key', 'value', 'reason'),
    [
        ('other', '{}', 'it has no metadata of the name fbnetv3'),
        ('fbnetv3', '', 'Expecting value'),
        ('fbnetv3', '7', 'has format None, and this fbnetv3_runtime reads 1'),
        ('fbnetv3', '{"format": 2}', 'has format 2, and this fbnetv3_runtime'),
        ('fbnetv3', '{"format": 1}', 'its metadata is damaged'),
        ('fbnetv3', '[' * 100_000, 'recursion'),
    ],
    ids=range(6),
)
def test_foreign_metadata(key, value, reason, backend, model):
    proto = onnx.load(model)
    onnx.helper.set_model_props(proto, {key: value})
    onnx.save(proto, model)
    assert reason in refused(model, backend)


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        ('classes', 'cell'),
        ('classes', [1]),
        ('resize', None),
        ('resize', dict(scale=[480, 360], keep_ratio=False)),
        ('resize', dict(scale=[480], keep_ratio=True)),
        ('resize', dict(scale=[480, 1 << 20], keep_ratio=True)),
        ('mean', [300, 0, 0]),
        ('mean', ['0', '0', '0']),
        ('mask_thr', 'half'),
        ('score_thr', '0.05'),
    ],
)
def test_wrong_metadata(key, value, tmp_path):
    path = save_colors(tmp_path / 'm.onnx', **{key: value})
    assert 'its metadata is damaged' in refused(path)


@pytest.mark.parametrize('backend', BACKENDS)
def test_graph_of_other_outputs(backend, model):
    pytest.importorskip(backend)
    proto = onnx.load(model)
    for node in proto.graph.node:
        if node.output[0] == 'labels':
            node.output[0] = 'numbers_again'
    proto.graph.output[2].name = 'numbers_again'
    onnx.save(proto, model)
    assert "it gives ['boxes', 'numbers" in refused(model, backend)


@pytest.mark.parametrize('backend', BACKENDS)
def test_cut_off_anywhere(backend, model, tmp_path):
    whole = model.read_bytes()
    path = tmp_path / 'cut.onnx'
    for length in range(0, len(whole), 25):
        path.write_bytes(whole[:length])
        refused(path, backend)


def test_random_damage(model, tmp_path):
    whole = np.frombuffer(model.read_bytes(), np.uint8)
    rng = np.random.default_rng(0)
    path = tmp_path / 'damaged.onnx'
    refusals = 0
    for _ in range(300):
        damaged = whole.copy()
        damaged[rng.integers(len(whole))] = rng.integers(256)
        path.write_bytes(damaged.tobytes())
        try:
            read_metadata(path)
        except ValueError as error:
            refusals += 1
            assert REMEDY in str(error)
    assert 30 < refusals < 300
