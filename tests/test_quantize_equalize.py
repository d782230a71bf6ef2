"""Channels of similar range, with factors known by hand."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import InferenceSession

from fbnetv3_mmdet.deploy.int8.equalize import equalize

pytestmark = pytest.mark.same_on_upstream
node = helper.make_node


def make_model(relu=False, groups=1, outputs=('y',)):
    """Return two convolutions in a row, of two channels.

    Args:
        relu: Whether there is one between them.
        groups: Of the second convolution.
        outputs: Of the model; 'a' is what lies between.
    """
    weights = {
        'first': np.float32([1, 0.01]).reshape(2, 1, 1, 1),
        'bias': np.float32([2, 3]),
        'second': np.float32([1, 100]).reshape(1, 2, 1, 1),
    }
    if groups == 2:
        weights['second'] = weights['second'].reshape(2, 1, 1, 1)
    between = 'b' if relu else 'a'
    nodes = [
        node('Conv', ['x', 'first', 'bias'], ['a'], group=2),
        *([node('Relu', ['a'], ['b'])] if relu else []),
        node('Conv', [between, 'second'], ['y'], group=groups),
    ]
    graph = helper.make_graph(
        nodes,
        'two',
        [helper.make_tensor_value_info('x', TensorProto.FLOAT, [1, 2, 4, 4])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
            for name in outputs
        ],
        [numpy_helper.from_array(v, k) for k, v in weights.items()],
    )
    opset = helper.make_opsetid('', 18)
    return helper.make_model(graph, opset_imports=[opset], ir_version=9)


def values(model):
    return {
        tensor.name: numpy_helper.to_array(tensor).ravel()
        for tensor in model.graph.initializer
    }


def run(model):
    x = np.random.default_rng(0).normal(size=(1, 2, 4, 4)).astype('float32')
    session = InferenceSession(model.SerializeToString())
    return session.run(['y'], {'x': x})[0]


@pytest.mark.parametrize('relu', [False, True])
def test_factors_are_those_made_by_hand(relu):
    model = make_model(relu)
    before = run(model)
    peaks = np.float32([100, 1])
    factors = equalize(model.graph, dict(a=peaks, b=peaks))
    # The channels reach 1 and 1/100 of the range; their weights in the
    # second convolution, the other way round, 1/100 and 1. The roots of
    # these ratios, 1/100 and 100, make both equal.
    between = ['a', 'b'] if relu else ['a']
    assert [*factors] == between
    for name in between:
        assert factors[name] == pytest.approx([0.1, 10])
    after = values(model)
    assert after['first'] == pytest.approx([0.1, 0.1])
    assert after['bias'] == pytest.approx([0.2, 30])
    assert after['second'] == pytest.approx([10, 10])
    np.testing.assert_allclose(run(model), before, rtol=1e-5)


def test_dead_channels_have_finite_factors():
    model = make_model()
    factors = equalize(model.graph, dict(a=np.float32([100, 0])))
    # no value counts as less than a thousandth of the largest
    assert factors['a'] == pytest.approx([0.1, 1000**0.5])
    assert np.isfinite(run(model)).all()


@pytest.mark.parametrize(
    'settings', [dict(groups=2), dict(outputs=('y', 'a'))], ids=str
)
def test_channels_that_others_read_are_left_alone(settings):
    model = make_model(**settings)
    before = values(model)
    assert equalize(model.graph, dict(a=np.float32([100, 1]))) == {}
    for name, array in values(model).items():
        assert (array == before[name]).all()
