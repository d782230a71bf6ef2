"""A one-stage detector as one module that ``torch.export`` can trace."""

from __future__ import annotations

import torch
from torch import Tensor

from .graph import (
    NEVER,
    ExportableDetector,
    border_of,
    clip,
    nms,
    of_large,
)


class ExportableOneStage(ExportableDetector):
    """A one-stage detector from the picture to the boxes.

    Heads are those of MMDetection that end as its ``BaseDenseHead``:
    RetinaNet, FCOS, ATSS, GFL, RTMDet.

    Args:
        detector: One that ``check_model`` lets pass; it is copied, and its
            batch norms become part of the convolutions.

    Shape:
        As :class:`.graph.ExportableDetector`, without masks.
    """

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return what is found in a picture."""
        head = self.detector.bbox_head
        cfg = head.test_cfg
        maps = head(self.detector.extract_feat(self.normalise(image)))
        priors = head.prior_generator.grid_priors(
            [level.shape[-2:] for level in maps[0]], device=image.device
        )
        levels = [
            self.candidates(i, *level)
            for i, level in enumerate(zip(priors, *maps, strict=True))
        ]
        scores, labels, deltas, priors = map(
            torch.cat, zip(*levels, strict=True)
        )
        boxes = head.bbox_coder.decode(priors, deltas)
        boxes = clip(boxes, border_of(image), head.bbox_coder.clip_border)
        scores = of_large(boxes, scores, cfg)
        # those of different classes do not overlap
        apart = boxes + labels[:, None].float() * (boxes.max() + 1)
        kept = nms(
            apart[None],
            scores[None, None],
            cfg.max_per_img,
            cfg.nms.iou_threshold,
            NEVER / 2,
        )[:, 2]
        found = boxes, scores, labels
        return tuple(part.index_select(0, kept) for part in found)

    def candidates(
        self, level: int, priors: Tensor, logits: Tensor, *others: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return scores, labels, deltas and priors of a level's best.

        Args:
            level: Its index.
            priors: Anchors (N, 4), or points (N, 2).
            logits: (1, A * C, H, W).
            *others: Deltas, (1, A * 4, H, W), or of GFL distributions; where
                the head has them, logits of centerness (1, A, H, W).
        """
        head = self.detector.bbox_head
        scores = _rows(logits, head.num_classes).sigmoid()
        deltas, *centerness = others
        if hasattr(head, 'integral'):  # GFL: distances in strides
            deltas = head.integral(_rows(deltas, 4 * (head.reg_max + 1)))
            deltas = deltas * head.prior_generator.strides[level][0]
            priors = head.anchor_center(priors)
        else:
            deltas = _rows(deltas, head.bbox_coder.encode_size)
        threshold = head.test_cfg.get('score_thr', 0)
        flat = torch.where(scores > threshold, scores, NEVER).flatten()
        limit = head.test_cfg.get('nms_pre', -1)
        count = flat.shape[0]
        limit = torch.sym_min(limit, count) if limit > 0 else count
        best, index = flat.topk(limit)
        place, label = index // head.num_classes, index % head.num_classes
        if centerness:
            factor = _rows(centerness[0], 1)[:, 0].sigmoid()
            factor = factor.index_select(0, place)
            best = torch.where(best > threshold, best * factor, NEVER)
        return (
            best,
            label,
            deltas.index_select(0, place),
            priors.index_select(0, place),
        )


def _rows(level: Tensor, length: int) -> Tensor:
    """Return a map (1, A * L, H, W) as rows (H * W * A, L)."""
    return level.permute(0, 2, 3, 1).reshape(-1, length)
