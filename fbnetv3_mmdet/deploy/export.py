"""Writes a detector as one ONNX file that holds all that a runtime needs."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import onnx
import onnx_ir
import torch
from mmdet.utils import get_test_pipeline_cfg
from mmengine.config import Config
from onnx_ir.passes.common import ClearMetadataAndDocStringPass
from onnxscript import opset18 as op
from torch import Tensor, nn
from torch.export import Dim

from fbnetv3_runtime.metadata import FORMAT, KEY, OUTPUTS

from .. import __version__
from ..data.datasets import find_brightest
from .batch import BatchDetector
from .graph import ExportableDetector
from .one_stage import ExportableOneStage
from .support import (
    box_head,
    check_model,
    check_pipeline,
    is_one_stage,
    refuse_one_stage,
)

OPSET = 18


def export(
    cfg: Config,
    model: nn.Module,
    classes: Sequence[str],
    path: Path,
    size: tuple[int, int] | None = None,
    batch: int | None = None,
) -> None:
    """Write a detector as an ONNX file.

    Args:
        cfg: The detector's config.
        model: The detector with its weights, on the CPU.
        classes: The names of what it detects.
        path: The file to write.
        size: (height, width) of the input in pixels; None: any.
        batch: How many pictures it takes at the same time; 0: any number;
            None: one, as what follows is quickest for.

    Raises:
        ValueError: A part of the config cannot be exported.
    """
    facts = metadata(cfg, model, classes, size)
    outputs, free = _outputs(model), {1, 2} if size is None else set()
    one_stage = is_one_stage(model)
    detector = (ExportableOneStage if one_stage else ExportableDetector)(model)
    if batch is not None:
        refuse_one_stage(model, '--batch')
        detector = BatchDetector(model)
        facts |= dict(batch=batch, max_per_img=model.test_cfg.rcnn.max_per_img)
        outputs.append('images')
        free |= set() if batch else {0}
    number = 1 if batch is None else batch or 2
    image = torch.zeros(number, *(size or (224, 320)), 3, dtype=torch.uint8)
    write(detector, image, outputs, facts, path, free)


def write(
    network: nn.Module,
    given: Tensor,
    outputs: Sequence[str],
    facts: Mapping,
    path: Path,
    free: Collection[int] = (),
) -> None:
    """Write a network of one input as an ONNX file.

    Args:
        network: What is traced.
        given: An input: an image, (1, H, W, 3), or pooled regions.
        outputs: Names.
        facts: The metadata.
        path: The file to write.
        free: Axes of images that may have any length.
    """
    is_image = given.dtype == torch.uint8
    sides = dict.fromkeys(free, Dim.DYNAMIC)
    with torch.no_grad():
        traced = torch.export.export(
            network, (given,), dynamic_shapes=(sides,)
        )
    program = torch.onnx.export(
        traced,
        dynamo=True,
        verbose=False,
        opset_version=OPSET,
        input_names=['image' if is_image else 'regions'],
        output_names=[*outputs],
        custom_translation_table={
            torch.ops.fbnetv3_mmdet.nms.default: _nms,
            torch.ops.aten.mean.dim: _mean,
        },
    )
    # they hold stack traces with the paths of this machine
    ClearMetadataAndDocStringPass()(program.model)
    program.model.metadata_props[KEY] = json.dumps(facts)
    if is_image:
        _name_sides(program.model.graph)
    program.save(path, external_data=False)
    onnx.checker.check_model(path, full_check=True)


def metadata(
    cfg: Config,
    model: nn.Module,
    classes: Sequence[str],
    size: tuple[int, int] | None,
) -> dict:
    """Return what a runtime must know of an exported file.

    Raises:
        ValueError: A part of the config cannot be exported.
    """
    check_model(model)
    resize = check_pipeline(get_test_pipeline_cfg(cfg))
    num_classes = box_head(model).num_classes
    if len(classes) != num_classes:
        raise ValueError(
            f'the config has num_classes={num_classes}, but the '
            f'checkpoint or the test dataset names {len(classes)} classes, '
            f'{[*classes]}; give the config that the checkpoint was trained '
            'with'
        )
    one_stage = is_one_stage(model)
    settings = model.data_preprocessor
    test_cfg = (
        box_head(model).test_cfg if one_stage else (model.roi_head.test_cfg)
    )
    order = 1 if settings._channel_conversion else -1  # BGR: backwards
    has_mask = not one_stage and model.roi_head.with_mask
    return dict(
        format=FORMAT,
        version=__version__,
        classes=[*classes],
        resize=dict(
            scale=list(resize['scale']), keep_ratio=resize['keep_ratio']
        ),
        size=None if size is None else list(size),
        mean=settings.mean.flatten().tolist()[::order],
        std=settings.std.flatten().tolist()[::order],
        score_thr=test_cfg.score_thr,
        iou_thr=test_cfg.nms.iou_threshold,
        mask_thr=test_cfg.mask_thr_binary if has_mask else None,
        brightest=find_brightest(cfg),
        config=cfg.pretty_text,
    )


def _name_sides(graph: onnx_ir.Graph) -> None:
    (image,) = graph.inputs
    names = 'images', 'height', 'width', ''
    sides = zip(image.shape, names, strict=True)
    image.shape = onnx_ir.Shape(
        side if isinstance(side, int) else name for side, name in sides
    )
    for output in graph.outputs:
        if output.name in OUTPUTS:
            output.shape = onnx_ir.Shape(['detections', *output.shape[1:]])


def _outputs(model: nn.Module) -> list[str]:
    has_mask = not is_one_stage(model) and model.roi_head.with_mask
    masks = ['masks'] if has_mask else []
    return ['boxes', 'scores', 'labels', *masks]


def _nms(
    boxes,
    scores,
    max_output: int,
    iou_threshold: float,
    score_threshold: float,
):
    return op.NonMaxSuppression(
        boxes,
        scores,
        op.Constant(value_ints=[max_output]),
        op.Constant(value_floats=[iou_threshold]),
        op.Constant(value_floats=[score_threshold]),
    )


def _mean(x, dim: Sequence[int], keepdim: bool = False, dtype: int = -1):
    """Return global average pooling as the operator that runtimes know.

    Between their convolutions and this operator the memory layout does not
    change, as it does before ReduceMean.
    """
    if keepdim and dtype == -1 and sorted(dim) in ([-2, -1], [2, 3]):
        return op.GlobalAveragePool(x)
    axes = op.Constant(value_ints=list(dim))
    return op.ReduceMean(x, axes, keepdims=int(keepdim))
