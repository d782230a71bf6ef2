"""A detector as two networks, without what chooses and pools among boxes.

Toolchains of NPUs refuse NonMaxSuppression, RoiAlign and shapes that depend
on data. The first file goes from the picture to features and the scores of
anchors, the second from pooled regions to classes; the runtime does the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.config import Config
from torch import Tensor, nn

from .export import metadata, write
from .graph import ExportableDetector
from .support import refuse_one_stage


def export_split(
    cfg: Config,
    model: nn.Module,
    classes: Sequence[str],
    paths: tuple[Path, Path],
    size: tuple[int, int] | None = None,
) -> None:
    """Write a detector as two ONNX files.

    Args:
        cfg: The detector's config.
        model: The detector with its weights, on the CPU.
        classes: The names of what it detects.
        paths: The files to write: that of pictures, that of regions.
        size: (height, width) of the input in pixels; None: any.

    Raises:
        ValueError: A part of the config cannot be exported so.
    """
    facts = metadata(cfg, model, classes, size)
    refuse_one_stage(model, '--split')
    if model.roi_head.with_mask:
        raise ValueError(
            'model.roi_head.mask_head cannot be exported in two files; leave '
            '--split out, or train a detector without masks'
        )
    facts['split'] = describe(model)
    dense, regions = DenseNetwork(model), RegionNetwork(model)
    image = torch.zeros(1, *(size or (224, 320)), 3, dtype=torch.uint8)
    with torch.no_grad():
        *_, feat = dense(image)
    levels = range(len(facts['split']['anchors']))
    outputs = [f'{kind}{i}' for kind in ('logits', 'deltas') for i in levels]
    strides = range(len(facts['split']['regions']['strides']))
    outputs += [f'features{i}' for i in strides]
    free = {1, 2} if size is None else set()
    write(dense, image, outputs, facts, paths[0], free)
    side = facts['split']['regions']['size']
    number = facts['split']['proposals']['max_per_img']
    pooled = torch.zeros(number, feat.shape[1], side, side)
    write(regions, pooled, ['scores', 'deltas'], facts, paths[1])


class DenseNetwork(nn.Module):
    """From a picture to logits, deltas and the features that are pooled."""

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.whole = ExportableDetector(detector)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the levels' logits, their deltas, and their features."""
        detector = self.whole.detector
        feats = detector.extract_feat(self.whole.normalise(image))
        logits, deltas = detector.rpn_head(feats)
        extractor = detector.roi_head.bbox_roi_extractor
        pooled = feats[extractor.first_level : extractor.num_inputs]
        return *logits, *deltas, *pooled


class RegionNetwork(nn.Module):
    """From pooled regions, (R, C, P, P), to scores and deltas."""

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.roi_head = ExportableDetector(detector).detector.roi_head

    def forward(self, regions: Tensor) -> tuple[Tensor, Tensor]:
        """Return (R, classes + 1) scores and (R, 4 or 4 * classes) deltas."""
        x = regions
        if self.roi_head.with_shared_head:
            x = self.roi_head.shared_head(x)
        logits, deltas = self.roi_head.bbox_head(x)
        return logits.softmax(-1), deltas


def describe(model: nn.Module) -> dict:
    """Return what the runtime must know to do what the files leave out."""
    rpn, roi_head = model.rpn_head, model.roi_head
    cfg, extractor = rpn.test_cfg, roi_head.bbox_roi_extractor
    generator = rpn.prior_generator
    layer = extractor.roi_layers[0]
    return dict(
        anchors=[
            dict(strides=list(stride), boxes=boxes.tolist())
            for stride, boxes in zip(
                generator.strides, generator.base_anchors, strict=True
            )
        ],
        proposals=dict(
            coder=_describe_coder(rpn.bbox_coder),
            nms_pre=cfg.get('nms_pre', -1),
            max_per_img=cfg.max_per_img,
            iou_thr=cfg.nms.iou_threshold,
            min_bbox_size=cfg.get('min_bbox_size', -1),
        ),
        regions=dict(
            size=layer.output_size[0],
            strides=list(extractor.featmap_strides),
            samples=layer.sampling_ratio,
            finest_scale=extractor.finest_scale,
        ),
        boxes=dict(
            coder=_describe_coder(roi_head.bbox_head.bbox_coder),
            max_per_img=roi_head.test_cfg.max_per_img,
            iou_thr=roi_head.test_cfg.nms.iou_threshold,
            score_thr=roi_head.test_cfg.score_thr,
        ),
    )


def _describe_coder(coder: object) -> dict:
    return dict(
        means=list(coder.means),
        stds=list(coder.stds),
        clip_border=coder.clip_border,
        ctr_clamp=coder.ctr_clamp if coder.add_ctr_clamp else None,
    )
