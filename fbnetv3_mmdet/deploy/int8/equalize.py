"""Gives channels similar ranges, so that one scale suits all of them.

Between two convolutions with nothing, or a ReLU, between them a channel may
have any scale: what the first multiplies the second divides.

Source: Nagel et al., Data-Free Quantization Through Weight Equalization and
Bias Correction (2019), with ranges of activations for those of the first
convolution's weights, which have a scale for each channel.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import onnx
from onnx import numpy_helper

LEAST = 1e-3  # factor of a channel


class Pair(NamedTuple):
    """Two convolutions of one path.

    Attributes:
        first: Node; each of its output channels has a filter of its own.
        second: Node, of one group.
        between: Tensors that the channels' factors multiply.
    """

    first: onnx.NodeProto
    second: onnx.NodeProto
    between: list[str]


def equalize(
    graph: onnx.GraphProto, peaks: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Rescale channels between convolutions; the outputs stay the same.

    Args:
        graph: The network, which is changed in place.
        peaks: The largest absolute value of each channel, (C,), by name of
            the tensor.

    Returns:
        dict: Factors, (C,), by which tensors have been multiplied.
    """
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    factors = {}
    for first, second, between in _find_pairs(graph, tensors):
        weight = numpy_helper.to_array(tensors[second.input[1]])
        reach = _relative(abs(weight).max((0, 2, 3)))
        factor = np.sqrt(reach / _relative(peaks[between[-1]]))
        factor = factor.astype(np.float32)
        _multiply(tensors[first.input[1]], factor[:, None, None, None])
        for bias in first.input[2:]:
            _multiply(tensors[bias], factor)
        _multiply(tensors[second.input[1]], 1 / factor[:, None, None])
        factors |= dict.fromkeys(between, factor)
    return factors


def _find_pairs(
    graph: onnx.GraphProto, tensors: Mapping[str, onnx.TensorProto]
) -> list[Pair]:
    makers = {name: node for node in graph.node for name in node.output}
    uses = [name for node in graph.node for name in node.input]
    uses += [output.name for output in graph.output]
    pairs = []
    for second in graph.node:
        if not _is_conv(second, tensors) or _groups(second) > 1:
            continue
        between = [second.input[0]]
        first = makers.get(between[0])
        if first is not None and first.op_type == 'Relu':
            between.insert(0, first.input[0])
            first = makers.get(between[0])
        if first is None or not _is_conv(first, tensors):
            continue
        used = [*between, *first.input[1:], *second.input[1:]]
        if all(uses.count(name) == 1 for name in used):
            pairs.append(Pair(first, second, between))
    return pairs


def _is_conv(
    node: onnx.NodeProto, tensors: Mapping[str, onnx.TensorProto]
) -> bool:
    return node.op_type == 'Conv' and all(
        name in tensors for name in node.input[1:]
    )


def _groups(node: onnx.NodeProto) -> int:
    return next((a.i for a in node.attribute if a.name == 'group'), 1)


def _relative(values: np.ndarray) -> np.ndarray:
    """Return values as shares of the largest, each at least ``LEAST``."""
    return np.maximum(values / max(values.max(), 1e-30), LEAST)


def _multiply(tensor: onnx.TensorProto, factor: np.ndarray) -> None:
    values = numpy_helper.to_array(tensor) * factor
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
