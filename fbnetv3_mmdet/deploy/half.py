"""The networks of an exported detector in numbers of 16 bits.

Proposals, suppression and box decoding stay in 32 bits, which coordinates
need. Where the two meet, the graph casts.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

import onnx
from onnx import TensorProto, helper, numpy_helper

from fbnetv3_runtime.metadata import KEY

WEIGHTED = ('Conv', 'ConvTranspose', 'Gemm', 'MatMul')
JOINING = (  # in 16 bits where all that they take is
    'Add', 'AveragePool', 'Clip', 'GlobalAveragePool', 'HardSigmoid', 'Mul',
    'Relu',
)  # fmt: skip


def to_half(path: Path) -> None:
    """Rewrite an exported file so that its networks have 16 bits."""
    model = onnx.load(path)
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    inside = _find_networks(graph, weights)
    nodes = _rewire(graph, inside, weights)
    read = {name for node in nodes for name in node.input}
    tensors = []
    for name, tensor in weights.items():
        if name in read:
            tensors.append(tensor)
        if _half(name) in read:
            values = numpy_helper.to_array(tensor).astype('float16')
            tensors.append(numpy_helper.from_array(values, _half(name)))
    graph = helper.make_graph(
        nodes, graph.name, graph.input, graph.output, tensors
    )
    model.graph.CopyFrom(graph)
    entries = {entry.key: entry.value for entry in model.metadata_props}
    facts = json.loads(entries[KEY]) | dict(float16=True)
    helper.set_model_props(model, entries | {KEY: json.dumps(facts)})
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def _find_networks(
    graph: onnx.GraphProto, weights: Collection[str]
) -> set[str]:
    """Return the tensors that the networks compute."""
    inside: set[str] = set()
    for node in graph.node:
        known = [name in inside for name in node.input if name not in weights]
        joins = node.op_type in JOINING and known and all(known)
        if joins or node.op_type in WEIGHTED:
            inside.update(node.output)
    return inside


def _rewire(
    graph: onnx.GraphProto, inside: Collection[str], weights: Collection[str]
) -> list[onnx.NodeProto]:
    """Return the nodes, with casts where 16 bits and 32 meet.

    Args:
        graph: The detector's.
        inside: Tensors that become those of 16 bits.
        weights: Names of constants; networks take them in 16 bits.
    """
    nodes: list[onnx.NodeProto] = []
    casts = set()
    for node in graph.node:
        wanted = node.output[0] in inside
        for index, name in enumerate(node.input):
            if not name or wanted == (name in inside):
                continue
            to = TensorProto.FLOAT16 if wanted else TensorProto.FLOAT
            node.input[index] = _half(name) if wanted else f'{name}_float'
            if name not in weights and node.input[index] not in casts:
                casts.add(node.input[index])
                nodes.append(
                    helper.make_node(
                        'Cast', [name], [node.input[index]], to=to
                    )
                )
        nodes.append(node)
    return nodes


def _half(name: str) -> str:
    return f'{name}_half'
