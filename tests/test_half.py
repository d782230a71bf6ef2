"""Networks in 16 bits, with one whose numbers are known by hand."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from runtime_model import METADATA, save

from fbnetv3_mmdet.deploy.half import to_half
from fbnetv3_runtime import BACKENDS, Detector, read_metadata

pytestmark = pytest.mark.same_on_upstream
node = helper.make_node
WEIGHTS = np.float32([[0.5, 0, 0], [0, 0.25, 0.1], [1 / 3, 0, 0.5]])


@pytest.fixture
def path(tmp_path):
    """A detector of three boxes; scores are of a 1x1 convolution, twice."""
    nodes = [
        node('Cast', ['image'], ['pixels'], to=TensorProto.FLOAT),
        node('Transpose', ['pixels'], ['channels'], perm=[0, 3, 1, 2]),
        node('Div', ['channels', 'white'], ['share']),
        node('Conv', ['share', 'weight', 'bias'], ['filtered']),
        node('Relu', ['filtered'], ['rectified']),
        node('Add', ['rectified', 'filtered'], ['twice']),
        node('GlobalAveragePool', ['twice'], ['mean']),
        node('Reshape', ['mean', 'flat'], ['scores']),
        node('Unsqueeze', ['bias', 'last'], ['column']),  # what both read
        node('Mul', ['corners', 'column'], ['boxes']),
        node('Identity', ['numbers'], ['labels']),
    ]
    constants = dict(
        white=np.float32([255]),
        weight=WEIGHTS[..., None, None],
        bias=np.float32([1000 / 8192, 0.1, 0.1]),
        flat=np.array([-1]),
        last=np.array([1]),
        corners=np.float32([[0, 0, 1000.3, 800]] * 3),
        numbers=np.arange(3),
    )
    # means of many numbers would round
    small = METADATA | dict(resize=dict(scale=[48, 36], keep_ratio=True))
    return save(tmp_path / 'm.onnx', nodes, constants, small)


@pytest.mark.parametrize('backend', BACKENDS)
def test_finds_the_same_but_for_rounding(backend, path):
    pytest.importorskip(backend)
    color = np.array([200, 100, 50])
    bias = np.array([1000 / 8192, 0.1, 0.1])
    expected = 2 * (WEIGHTS @ (color / 255) + bias)
    picture = Image.new('RGB', (480, 360), tuple(color.tolist()))
    before = Detector(path, backend).predict(picture)
    assert before.scores == pytest.approx(expected, abs=1e-5)
    to_half(path)
    found = Detector(path, backend).predict(picture)
    # 11 bits of a number near 1
    assert found.scores == pytest.approx(expected, abs=2e-3)
    assert (found.boxes == before.boxes).all()


def test_networks_have_16_bits_and_boxes_32(path):
    before = read_metadata(path)
    to_half(path)
    assert read_metadata(path) == before | dict(float16=True)
    graph = onnx.load(path).graph
    kinds = {t.name: numpy_helper.to_array(t).dtype for t in graph.initializer}
    assert kinds['weight_half'] == kinds['bias_half'] == np.float16
    assert kinds['bias'] == kinds['corners'] == np.float32
    assert 'weight' not in kinds
    casts = [n.input[0] for n in graph.node if n.op_type == 'Cast']
    assert casts == ['image', 'share', 'mean']  # none within the network
