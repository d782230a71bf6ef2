"""The networks of an exported C4 detector, cut out of its file.

Without normalisation, proposals, RoIAlign and decoding: what is left is the
least that an engine can take.
"""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx.utils import extract_model

DENSE, BOX = 'dense', 'box stage'
QUANTIZERS = 'QuantizeLinear', 'DequantizeLinear'
Parts = dict[str, tuple[str, tuple[int, ...]]]


def cut(
    path: Path, layers: dict[str, list[str]], size: tuple[int, int], rois: int
) -> Parts:
    """Write the dense part and the box stage beside a file.

    Args:
        path: Of an exported detector, in float or int8.
        layers: Names of nodes by layer, ``Quantizer(float file).layers``.
        size: (height, width) of the image.
        rois: How many regions the box stage gets.

    Returns:
        dict: Path, and shape of the input, by name of the part; empty for
        detectors of pyramids or masks, whose parts are not so few.
    """
    graph = _Graph(onnx.load(path).graph)
    pools = [n for n in graph.nodes.values() if n.op_type == 'RoiAlign']
    if len(pools) > 1:
        return {}
    (pool,) = pools
    heads = [
        graph.nodes[node].output[0]
        for name in ('rpn_head.rpn_cls', 'rpn_head.rpn_reg')
        for node in layers[name]
    ]
    feature = graph.before_integers(pool.input[0])
    first = graph.nodes[layers['backbone.stage0.0.conv'][0]]
    pixels = graph.before_integers(first.input[0])
    scores = [
        graph.nodes[layers[f'roi_head.bbox_head.{name}'][0]].output[0]
        for name in ('fc_cls', 'fc_reg')
    ]
    pooled = rois, graph.channels(pool.output[0]), *graph.bins(pool)
    return {
        DENSE: _write(path, DENSE, pixels, [*heads, feature], (1, 3, *size)),
        BOX: _write(path, BOX, pool.output[0], scores, pooled),
    }


class _Graph:
    def __init__(self, graph: onnx.GraphProto) -> None:
        self.nodes = {node.name: node for node in graph.node}
        self._makers = {out: n for n in graph.node for out in n.output}
        self._users: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self._users.setdefault(name, []).append(node)
        self._weights = {t.name: t for t in graph.initializer}

    def before_integers(self, name: str) -> str:
        """Return the tensor that a pair of quantizers was made for."""
        while name in self._makers and (
            self._makers[name].op_type in QUANTIZERS
        ):
            name = self._makers[name].input[0]
        return name

    def channels(self, name: str) -> int:
        """Return what the first convolution after a tensor takes."""
        (user,) = self._users[name]
        while user.op_type in QUANTIZERS:
            (user,) = self._users[user.output[0]]
        weight = self.before_integers(user.input[1])
        return self._weights[weight].dims[1]

    def bins(self, pool: onnx.NodeProto) -> tuple[int, int]:
        """Return height and width of pooled features."""
        values = {a.name: a.i for a in pool.attribute}
        return values['output_height'], values['output_width']


def _write(
    path: Path,
    name: str,
    source: str,
    outputs: list[str],
    shape: tuple[int, ...],
) -> tuple[str, tuple[int, ...]]:
    part = path.with_suffix(f'.{name.split()[0]}.onnx')
    extract_model(path, part, [source], outputs)
    model = onnx.load(part)
    for node in model.graph.node:
        node.input[:] = ['image' if n == source else n for n in node.input]
    entry = onnx.helper.make_tensor_value_info(
        'image', onnx.TensorProto.FLOAT, shape
    )
    model.graph.input[0].CopyFrom(entry)
    for value in [*model.graph.output, *model.graph.value_info]:
        value.type.tensor_type.ClearField('shape')
    onnx.save(model, part)
    return str(part), shape
