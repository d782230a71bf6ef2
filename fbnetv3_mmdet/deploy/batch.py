"""A detector that takes several pictures of one size at the same time.

Shapes: B pictures; N candidates and R proposals of each; C classes; K boxes
that suppression kept; D detections in all pictures.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .graph import (
    NEVER,
    ExportableDetector,
    clip,
    move_apart,
    nms,
    of_large,
    pool,
)


class BatchDetector(ExportableDetector):
    """A two-stage detector of boxes, from pictures to boxes.

    Shape:
        Input (B, H, W, 3), uint8, RGB. Output ``boxes`` (D, 4), ``scores``
        (D,), descending, ``labels`` (D,) and ``images`` (D,), int64: of which
        picture each is. A picture may have more detections than
        ``max_per_img``; its best count.

    Raises:
        ValueError: The detector has masks.
    """

    def __init__(self, detector: nn.Module) -> None:
        if detector.roi_head.with_mask:
            raise ValueError(
                'model.roi_head.mask_head cannot be exported for batches; '
                'leave --batch out, or train a detector without masks'
            )
        super().__init__(detector)

    def propose(
        self, feats: Sequence[Tensor], border: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return (B, R, 4) proposals, and which of them exist, (B, R)."""
        head = self.detector.rpn_head
        cfg = head.test_cfg
        levels = [
            _best(*level, cfg.get('nms_pre', -1))
            for level in self.levels(feats, border)
        ]
        lengths = [level[0].shape[1] for level in levels]
        scores, deltas, priors = (
            torch.cat(parts, 1) for parts in zip(*levels, strict=True)
        )
        boxes = head.bbox_coder.decode(
            priors.reshape(-1, 4), deltas.reshape(-1, 4)
        )
        boxes = clip(boxes, border, head.bbox_coder.clip_border)
        boxes = boxes.view(scores.shape[0], -1, 4)
        scores = of_large(boxes, scores, cfg)
        apart = move_apart(boxes, lengths)
        limit = cfg.max_per_img
        kept = nms(
            apart, scores[:, None], limit, cfg.nms.iou_threshold, NEVER / 2
        )
        table = _tabulate(kept[:, 0], kept[:, 2], scores.shape[0], limit)
        index = table.clamp(min=0)[..., None].expand(-1, -1, 4)
        return boxes.gather(1, index), table >= 0

    def detect(
        self,
        feats: Sequence[Tensor],
        proposals: Tensor,
        exists: Tensor,
        border: Tensor,
    ) -> tuple[Tensor, ...]:
        """Return boxes, scores, labels and images, best first."""
        roi_head = self.detector.roi_head
        head, cfg = roi_head.bbox_head, roi_head.test_cfg
        number, limit = proposals.shape[:2]
        flat = proposals.reshape(-1, 4)
        image = torch.arange(number)[:, None].expand(-1, limit).reshape(-1, 1)
        x = pool(
            roi_head.bbox_roi_extractor,
            feats,
            torch.cat([image.float(), flat], 1),
        )
        if roi_head.with_shared_head:
            x = roi_head.shared_head(x)
        logits, deltas = head(x)
        classes = head.num_classes
        scores = logits.softmax(-1)[:, :-1].reshape(number, limit, classes)
        scores = torch.where(exists[..., None], scores, NEVER)
        boxes = head.bbox_coder.decode(flat, deltas)
        boxes = boxes.view(flat.shape[0], -1, 4)
        boxes = clip(boxes, border, head.bbox_coder.clip_border)
        boxes = boxes.expand(-1, classes, -1)
        boxes = boxes.reshape(number, limit, classes, 4).transpose(1, 2)
        scores = scores.transpose(1, 2)
        kept = nms(
            boxes.reshape(-1, limit, 4),
            scores.reshape(-1, 1, limit),
            cfg.max_per_img,
            cfg.nms.iou_threshold,
            cfg.score_thr,
        )
        return _sort(kept, boxes, scores)


def _sort(kept: Tensor, boxes: Tensor, scores: Tensor) -> tuple[Tensor, ...]:
    """Return what suppression kept: boxes, scores, labels, images; best first.

    Args:
        kept: (K, 3): picture and class as one number, 0, proposal.
        boxes: (B, C, R, 4).
        scores: (B, C, R).
    """
    _, classes, limit = scores.shape
    index = kept[:, 0] * limit + kept[:, 2]
    scores = scores.reshape(-1).index_select(0, index)
    scores, order = scores.sort(descending=True)
    group = kept[:, 0].index_select(0, order)
    boxes = boxes.reshape(-1, 4).index_select(0, index[order])
    (large,) = torch.where((boxes[:, 2:] > boxes[:, :2]).all(1))
    found = boxes, scores, group % classes, group // classes
    return tuple(part.index_select(0, large) for part in found)


def _best(
    logits: Tensor, deltas: Tensor, priors: Tensor, limit: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return logits, deltas and anchors of a level's best, best first."""
    number = logits.shape[0]
    scores = logits.permute(0, 2, 3, 1).reshape(number, -1)
    deltas = deltas.permute(0, 2, 3, 1).reshape(number, -1, 4)
    priors = priors[None].expand(number, -1, -1)
    if limit <= 0:
        return scores, deltas, priors
    scores, index = scores.topk(torch.sym_min(limit, scores.shape[1]))
    index = index[..., None].expand(-1, -1, 4)
    return scores, deltas.gather(1, index), priors.gather(1, index)


def _tabulate(rows: Tensor, values: Tensor, number: int, limit: int) -> Tensor:
    """Return (number, limit): the values of each row in turn, and -1.

    Args:
        rows: (K,), ascending.
        values: (K,), at most ``limit`` of a row.
        number: Of rows.
        limit: Columns.
    """
    of_row = (rows[:, None] == torch.arange(number)).long()
    before = of_row.cumsum(0) - of_row  # how many of each row came before
    column = (before * of_row).sum(1)
    table = torch.full((number * limit,), -1)
    return table.scatter(0, rows * limit + column, values).view(number, limit)
