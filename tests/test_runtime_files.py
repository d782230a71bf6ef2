"""fbnetv3_runtime refuses damaged and foreign models, in one line."""

import json

import numpy as np
import pytest
from PIL import Image

from fbnetv3_runtime import BACKENDS, Detector, read_metadata

onnx = pytest.importorskip('onnx')
from runtime_model import METADATA, save_colors  # noqa: E402

REMEDY = '; give a file that tools/export.py wrote; if damaged, copy it a'


def refused(path, *arguments):
    """Return why a file is refused, a single line that names it."""
    with pytest.raises(ValueError) as caught:
        Detector(path, *arguments)
    message = str(caught.value)
    assert message.startswith(f'{path} ') and REMEDY in message
    assert '\n' not in message and len(message) < 700
    return message


@pytest.fixture
def model(tmp_path):
    return save_colors(tmp_path / 'm.onnx')


def field(number, content):
    """Return a protobuf field of bytes, its length in two bytes at most."""
    length = len(content)
    size = bytes([length & 0x7F | 0x80, length >> 7])
    return bytes([number << 3 | 2]) + size + content


def metadata_field(value):
    pair = field(1, b'fbnetv3') + field(2, json.dumps(value).encode())
    return field(14, pair)


def test_metadata_of_onnx(model):
    assert read_metadata(model) == METADATA


def test_metadata_written_by_hand(tmp_path):
    path = tmp_path / 'm.onnx'
    other = field(14, field(1, b'empty')) + field(14, field(2, b'nameless'))
    numbers = b'\x08\x0a\x11' + bytes(8) + b'\x1d' + bytes(4)  # 1, 2 and 3
    graph = field(7, bytes(300))
    path.write_bytes(numbers + graph + other + metadata_field(METADATA))
    assert read_metadata(path) == METADATA


@pytest.mark.parametrize('name', ['missing.onnx', '.'])
def test_no_file(name, tmp_path):
    assert 'Errno' in refused(tmp_path / name)


@pytest.mark.parametrize('model', [None, 0, b'm.onnx', ['m.onnx'] * 999])
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


@pytest.mark.parametrize(
    ('content', 'reason'),
    [
        (b'', 'no metadata of the name fbnetv3'),
        (b'\xff\xd8\xff\xe0 a photograph', 'damaged or no ONNX file'),
        (b'PK\x03\x04 a checkpoint', 'damaged or no ONNX file'),
        (b'text', 'damaged or no ONNX file'),
        (b'\xff' * 40, 'damaged or no ONNX file'),
        (b'\x72\xff\xff\xff\xff\xff\xff\xff\xff\x7f', 'cut off'),
        (b'\x08\x00' * 200_000, 'damaged or no ONNX file'),
        (field(14, field(1, b'fbnetv3')), 'Expecting value'),
        (field(14, b'\xff\xff'), 'damaged or no ONNX file'),
        (metadata_field(7), 'has format None, and this fbnetv3_runtime read'),
    ],
    ids=range(10),
)
def test_foreign_files(content, reason, tmp_path):
    path = tmp_path / 'm.onnx'
    path.write_bytes(content)
    assert reason in refused(path)


def test_nested_metadata(tmp_path):
    path = tmp_path / 'm.onnx'
    pair = field(1, b'fbnetv3') + field(2, b'[' * 16_000)
    path.write_bytes(b'\x72\x8a\x7e' + pair[:16138])
    refused(path)


def test_onnx_file_from_elsewhere(model):
    proto = onnx.load(model)
    proto.metadata_props[0].key = 'other'
    onnx.save(proto, model)
    assert 'it has no metadata of the name fbnetv3' in refused(model)


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        ('classes', 'cell'),
        ('classes', [1]),
        ('resize', None),
        ('resize', dict(scale=[480, 360], keep_ratio=False)),
        ('resize', dict(scale=[480], keep_ratio=True)),
        ('resize', dict(scale=[480, 1 << 20], keep_ratio=True)),
        ('size', [0, 10]),
        ('size', [224.0, 320]),
        ('mean', [300, 0, 0]),
        ('mean', ['0', '0', '0']),
        ('mask_thr', 'half'),
        ('score_thr', '0.05'),
    ],
)
def test_wrong_metadata(key, value, tmp_path):
    path = tmp_path / 'm.onnx'
    path.write_bytes(metadata_field(METADATA | {key: value}))
    assert 'its metadata is damaged' in refused(path)
    path.write_bytes(
        metadata_field({k: v for k, v in METADATA.items() if k != key})
    )
    assert 'its metadata is damaged' in refused(path)


def test_later_format(tmp_path):
    path = tmp_path / 'm.onnx'
    path.write_bytes(metadata_field(METADATA | dict(format=2)))
    message = refused(path)
    assert 'its metadata has format 2, and this fbnetv3_runtime re' in message


@pytest.mark.parametrize('backend', BACKENDS)
def test_damaged_graph(backend, model):
    pytest.importorskip(backend)
    model.write_bytes(field(7, bytes(50)) + metadata_field(METADATA))
    assert 'cannot be loaded: ' in refused(model, backend)


@pytest.mark.parametrize('backend', BACKENDS)
def test_graph_of_other_outputs(backend, model):
    pytest.importorskip(backend)
    proto = onnx.load(model)
    for node in proto.graph.node:
        if node.output[0] == 'labels':
            node.output[0] = 'numbers_again'
    proto.graph.output[2].name = 'numbers_again'
    onnx.save(proto, model)
    with pytest.raises(ValueError, match=f"cannot be run: 'labels'{REMEDY}"):
        Detector(model, backend).predict(Image.new('RGB', (64, 48)))


def test_cut_off_anywhere(model, tmp_path):
    whole = model.read_bytes()
    path = tmp_path / 'cut.onnx'
    for length in range(0, len(whole), 5):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=f'cut.onnx is no .*{REMEDY}'):
            read_metadata(path)


def test_random_damage(model, tmp_path):
    whole = np.frombuffer(model.read_bytes(), np.uint8)
    rng = np.random.default_rng(0)
    path = tmp_path / 'damaged.onnx'
    refusals = 0
    for _ in range(1000):
        damaged = whole.copy()
        places = rng.integers(0, len(whole), 5)
        damaged[places] = rng.integers(0, 256, 5)
        path.write_bytes(damaged.tobytes())
        try:
            read_metadata(path)
        except ValueError as error:
            refusals += 1
            assert REMEDY in str(error)
    assert 100 < refusals < 1000
