"""The networks of an exported detector in 8-bit integers.

ONNX Runtime's quantizer does it, after training: activations are unsigned, of
the range seen in calibration images; weights are signed, a scale for each
output channel. Proposals, suppression and box decoding stay as they are.

Weights have 7 bits, unless 8 are asked for: processors without VNNI, or Arm's
dot products, add two products of 8 bits in 16, where 8-bit weights overflow.
With 7 the file gives the same everywhere.
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantType,
)
from onnxruntime.quantization.calibrate import MinMaxCalibrater, TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.quant_utils import (
    save_and_reload_model_with_shape_infer,
)

from fbnetv3_runtime import read_metadata
from fbnetv3_runtime.metadata import KEY

from .equalize import equalize

WEIGHTED = ('Conv', 'ConvTranspose', 'Gemm', 'MatMul')
JOINING = ('Relu', 'Add')  # in integers where what they join is
DONE = {'batch', 'float16', 'int8', 'split'}  # in metadata
QUANTIZED = ('QuantizeLinear', 'DequantizeLinear', 'QLinearConv')


class Quantizer:
    """Quantizes a detector with any choice of its layers.

    Args:
        path: The file to quantize, which ``tools/export.py`` wrote.
        bits: Of the weights, 7 or 8.

    Attributes:
        layers (dict): Nodes by name of the layer, such as
            'backbone.stage0.0.conv', in the order of the file.

    Raises:
        ValueError: The file is from elsewhere, or quantized already.
    """

    def __init__(self, path: Path, bits: int = 7) -> None:
        self._bits = bits
        self.metadata = read_metadata(path)
        self._model = save_and_reload_model_with_shape_infer(onnx.load(path))
        operators = {node.op_type for node in self._model.graph.node}
        if not (
            DONE.isdisjoint(self.metadata) and operators.isdisjoint(QUANTIZED)
        ):
            raise ValueError(
                f'{path} is quantized already, has 16 bits, is one of two '
                'files, or takes batches; give what tools/export.py writes '
                'without options'
            )
        self.layers = _find_layers(self._model.graph)
        self._ranges: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def match(self, patterns: Iterable[str]) -> list[str]:
        """Return the layers that patterns such as 'rpn_head.*' name.

        Raises:
            ValueError: A pattern names none.
        """
        found: set[str] = set()
        for pattern in patterns:
            names = {n for n in self.layers if fnmatchcase(n, pattern)}
            if not names:
                raise ValueError(
                    f'--float={pattern!r} names no layer; the layers are '
                    f'{[*self.layers]}'
                )
            found |= names
        return [name for name in self.layers if name in found]

    def calibrate(self, inputs: Iterable[np.ndarray]) -> None:
        """Find the ranges of activations, and equalize those of channels.

        Args:
            inputs: What the network gets of each image, (1, H, W, 3), uint8.
        """
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, 'model.onnx')
            onnx.save(self._model, path)
            calibrator = _Calibrater(path, self._network_tensors())
            calibrator.augment_graph()
            calibrator.create_inference_session()
            calibrator.collect_data(_Reader(inputs))
            found = calibrator.compute_data()
        ends = {name: found[name].range_value for name in found}
        peaks = {name: abs(np.stack(e)).max(0) for name, e in ends.items()}
        factors = equalize(self._model.graph, peaks)
        ends = {
            name: np.stack(e) * factors.get(name, np.float32(1))
            for name, e in ends.items()
        }
        self._ranges = {
            name: (low.min(), high.max()) for name, (low, high) in ends.items()
        }

    def build(self, layers: Collection[str]) -> onnx.ModelProto:
        """Return the detector with these layers in integers."""
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        nodes = [node for name in layers for node in self.layers[name]]
        joining = _find_joining(model.graph, nodes)
        if nodes:
            with _quiet():
                quantizer = QDQQuantizer(
                    model,
                    per_channel=True,
                    reduce_range=self._bits == 7,
                    weight_qType=QuantType.QInt8,
                    activation_qType=QuantType.QUInt8,
                    # the quantizer writes into it
                    tensors_range=TensorsData(
                        CalibrationMethod.MinMax, self._ranges
                    ),
                    nodes_to_quantize=[*nodes, *joining],
                    nodes_to_exclude=[],
                    op_types_to_quantize=[*WEIGHTED, *JOINING],
                    extra_options={},
                )
                quantizer.quantize_model()
            quantizer.model.topological_sort()
            model = quantizer.model.model
        self._describe(model, layers)
        return model

    def _network_tensors(self) -> set[str]:
        """Return what the layers and what joins them take and give."""
        graph = self._model.graph
        names = {name for nodes in self.layers.values() for name in nodes}
        names.update(_find_joining(graph, names))
        return {
            tensor
            for node in graph.node
            if node.name in names
            for tensor in (*node.input, *node.output)
        }

    def _describe(
        self, model: onnx.ModelProto, layers: Collection[str]
    ) -> None:
        """Enter what was done, and nothing else, into the metadata."""
        how = dict(
            activations='uint8',
            weights=f'int8 of {self._bits} bits, per channel',
            float=[name for name in self.layers if name not in layers],
        )
        facts = json.dumps(self.metadata | dict(int8=how))
        del model.metadata_props[:]
        onnx.helper.set_model_props(model, {KEY: facts})
        del model.graph.value_info[:]


class _Calibrater(MinMaxCalibrater):
    """Finds the ranges of some tensors; others may be scalars, and have none.

    Args:
        path: Of the network, in a folder for what is made of it.
        tensors: Their names.
    """

    def __init__(self, path: Path, tensors: Collection[str]) -> None:
        super().__init__(
            path,
            [*WEIGHTED, *JOINING],
            str(path.with_name('augmented.onnx')),
            per_channel=True,
        )
        self._tensors = tensors

    def select_tensors_to_calibrate(
        self, model: onnx.ModelProto
    ) -> tuple[set[str], dict[str, onnx.ValueInfoProto]]:
        """Return the tensors' names, and all that is known of tensors."""
        found, known = super().select_tensors_to_calibrate(model)
        return found.intersection(self._tensors), known


class _Reader(CalibrationDataReader):
    """Hands over images."""

    def __init__(self, images: Iterable[np.ndarray]) -> None:
        self._images = iter(images)

    def get_next(self) -> Mapping[str, np.ndarray] | None:
        image = next(self._images, None)
        return None if image is None else dict(image=image)


def _find_layers(graph: onnx.GraphProto) -> dict[str, list[str]]:
    """Return names of nodes by the names of the modules they come from.

    A module may have several: each level of a feature pyramid has one. What
    else is multiplied, as the distances whose mean GFL takes, is no layer.
    """
    weights = {
        tensor.name
        for tensor in graph.initializer
        if tensor.name.endswith('.weight')
    }
    layers: dict[str, list[str]] = {}
    for node in graph.node:
        if node.op_type in WEIGHTED and node.input[1] in weights:
            name = node.input[1].removeprefix('detector.')
            layers.setdefault(name.removesuffix('.weight'), []).append(
                node.name
            )
    return layers


def _find_joining(graph: onnx.GraphProto, nodes: Collection[str]) -> list[str]:
    """Return nodes all of whose inputs are integers if these nodes are."""
    integer: set[str] = set()
    joining = []
    for node in graph.node:
        joins = node.op_type in JOINING and integer.issuperset(node.input)
        if joins:
            joining.append(node.name)
        if joins or node.name in nodes:
            integer.update(node.output)
    return joining


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantizer from remarks on what is meant as it is."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.WARNING))
    try:
        yield
    finally:
        logging.disable(before)
