"""A detector as one module that ``torch.export`` can trace.

The detector's own modules and coders do the work. Written again is what
chooses among boxes, as MMDetection does that with shapes that depend on data.

Shapes: H, W picture; N candidates; R proposals (``test_cfg.rpn.max_per_img``);
C classes; D detections.
"""

import copy
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
import torchvision
from mmcv.cnn import ConvModule
from mmcv.cnn.utils import fuse_conv_bn
from mmdet.models.detectors import TwoStageDetector
from mmengine.config import ConfigDict
from torch import Tensor, nn

NEVER = -6e4  # a score below every other that float16 can hold
# A box in pixels that is outside of every picture. It has an area, as OpenVINO
# divides by that of what it pools.
NOWHERE = (-10000.0, -10000.0, -9999.0, -9999.0)


@torch.library.custom_op('fbnetv3_mmdet::nms', mutates_args=())
def nms(
    boxes: Tensor,
    scores: Tensor,
    max_output: int,
    iou_threshold: float,
    score_threshold: float,
) -> Tensor:
    """Suppress boxes as ONNX's NonMaxSuppression does, which this becomes.

    Args:
        boxes: (G, N, 4), x1, y1, x2, y2, in G groups. A box suppresses only
            boxes of its own group and class.
        scores: (G, C, N), the score of each box for each of C classes.
        max_output: The most boxes that are kept of a group and class.
        iou_threshold: A box that overlaps a better one by more is dropped.
        score_threshold: A box whose score is not above it is dropped.

    Returns:
        (K, 3), int64: group, class and box, best first in each class.
    """
    found = []
    for group, of_classes in enumerate(scores):
        for label, score in enumerate(of_classes):
            (index,) = torch.where(score > score_threshold)
            kept = torchvision.ops.nms(
                boxes[group, index], score[index], iou_threshold
            )
            kept = index[kept[:max_output]]
            where = torch.tensor([[group, label]]).expand(len(kept), 2)
            found.append(torch.cat([where, kept[:, None]], 1))
    return torch.cat(found)


@nms.register_fake
def _nms_shape(boxes, scores, max_output, iou_threshold, score_threshold):
    length = torch.library.get_ctx().new_dynamic_size()
    return boxes.new_empty((length, 3), dtype=torch.int64)


class ExportableDetector(nn.Module):
    """A two-stage detector from the picture to the boxes.

    Args:
        detector (TwoStageDetector): One that ``check_model`` lets pass; it
            is copied, and its batch norms become part of the convolutions.

    Shape:
        Input (1, H, W, 3), uint8, RGB, resized as the test pipeline does.
        Output ``boxes`` (D, 4), x1, y1, x2, y2 in pixels, within the
        picture; ``scores`` (D,), descending; ``labels`` (D,), int64; from
        models with a mask head ``masks`` (D, P, P), probabilities inside
        the box.
    """

    def __init__(self, detector: TwoStageDetector) -> None:
        super().__init__()
        own = unshared(copy.deepcopy(detector))
        self.detector = fuse_conv_bn(own).eval()
        self.requires_grad_(False)
        self.divides = bool((detector.data_preprocessor.std != 1).any())

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return what is found in a picture."""
        border = border_of(image)
        feats = self.detector.extract_feat(self.normalise(image))
        proposals, exists = self.propose(feats, border)
        found = self.detect(feats, proposals, exists, border)
        if not self.detector.roi_head.with_mask:
            return found
        boxes, scores, labels = found
        return boxes, scores, labels, self.segment(feats, boxes, labels)

    def normalise(self, image: Tensor) -> Tensor:
        """Return (1, 3, H', W') as ``DetDataPreprocessor`` makes it."""
        settings = self.detector.data_preprocessor
        x = image.permute(0, 3, 1, 2)
        if not settings._channel_conversion:  # the model takes BGR
            x = x.index_select(1, torch.tensor([2, 1, 0]))
        x = x.float() - settings.mean
        if self.divides:
            x = x / settings.std
        divisor = settings.pad_size_divisor
        if divisor == 1:
            return x
        right, bottom = -x.shape[3] % divisor, -x.shape[2] % divisor
        return F.pad(x, (0, right, 0, bottom), value=settings.pad_value)

    def levels(
        self, feats: Sequence[Tensor], border: Tensor
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Return logits, deltas and anchors of each feature level."""
        head = self.detector.rpn_head
        logits, deltas = head(feats)
        priors = head.prior_generator.grid_priors(
            [level.shape[-2:] for level in logits], device=border.device
        )
        return zip(logits, deltas, priors, strict=True)

    def propose(
        self, feats: Sequence[Tensor], border: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return (R, 4) proposals, and which of them exist, (R,)."""
        head = self.detector.rpn_head
        cfg = head.test_cfg
        levels = [
            _best(*level, cfg.get('nms_pre', -1))
            for level in self.levels(feats, border)
        ]
        scores, deltas, priors = map(torch.cat, zip(*levels, strict=True))
        boxes = head.bbox_coder.decode(priors, deltas)
        boxes = clip(boxes, border, head.bbox_coder.clip_border)
        scores = of_large(boxes, scores, cfg)
        apart = move_apart(boxes, [level[0].shape[0] for level in levels])
        limit = cfg.max_per_img
        kept = nms(
            apart[None],
            scores[None, None],
            limit,
            cfg.nms.iou_threshold,
            NEVER / 2,
        )[:, 2]
        # of one length always: runtimes plan anew for every other
        kept = torch.cat([kept, kept.new_full((limit,), -1)])[:limit]
        return boxes.index_select(0, kept.clamp(min=0)), kept >= 0

    def detect(
        self,
        feats: Sequence[Tensor],
        proposals: Tensor,
        exists: Tensor,
        border: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return boxes, scores and labels, best first."""
        roi_head = self.detector.roi_head
        head, cfg = roi_head.bbox_head, roi_head.test_cfg
        x = pool(roi_head.bbox_roi_extractor, feats, F.pad(proposals, (1, 0)))
        if roi_head.with_shared_head:
            x = roi_head.shared_head(x)
        logits, deltas = head(x)
        scores = logits.softmax(-1)[:, :-1]
        scores = torch.where(exists[:, None], scores, NEVER)
        boxes = head.bbox_coder.decode(proposals, deltas)
        boxes = boxes.view(len(proposals), -1, 4)
        boxes = clip(boxes, border, head.bbox_coder.clip_border)
        boxes = boxes.expand(-1, head.num_classes, -1)
        kept = nms(
            boxes.transpose(0, 1),
            scores.T[:, None],
            cfg.max_per_img,
            cfg.nms.iou_threshold,
            cfg.score_thr,
        )
        index = kept[:, 2] * head.num_classes + kept[:, 0]
        scores = scores.flatten().index_select(0, index)
        scores, order = scores.sort(descending=True)
        index = index.index_select(0, order[: cfg.max_per_img])
        boxes = boxes.reshape(-1, 4).index_select(0, index)
        (large,) = torch.where((boxes[:, 2:] > boxes[:, :2]).all(1))
        found = boxes, scores[: cfg.max_per_img], index % head.num_classes
        return tuple(part.index_select(0, large) for part in found)

    def segment(
        self, feats: Sequence[Tensor], boxes: Tensor, labels: Tensor
    ) -> Tensor:
        """Return the probabilities of the detected classes' masks."""
        roi_head = self.detector.roi_head
        x = pool(roi_head.mask_roi_extractor, feats, F.pad(boxes, (1, 0)))
        logits = roi_head.mask_head(x)
        if roi_head.mask_head.class_agnostic:
            return logits[:, 0].sigmoid()
        return logits[torch.arange(labels.shape[0]), labels].sigmoid()


def unshared(detector: nn.Module) -> nn.Module:
    """Give each block a convolution of its own, and return the detector.

    Levels of RTMDet's head share convolutions and not their norms: a norm
    that became part of a shared one would be in those of all levels.
    """
    known: set[nn.Module] = set()
    for module in detector.modules():
        if isinstance(module, ConvModule):
            if module.conv in known:
                module.conv = copy.deepcopy(module.conv)
            known.add(module.conv)
    return detector


def _best(
    logits: Tensor, deltas: Tensor, priors: Tensor, limit: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return logits, deltas and anchors of a level's best, best first."""
    scores = logits.permute(0, 2, 3, 1).flatten()
    deltas = deltas.permute(0, 2, 3, 1).reshape(-1, 4)
    if limit <= 0:
        return scores, deltas, priors
    scores, index = scores.topk(torch.sym_min(limit, scores.shape[0]))
    return scores, deltas.index_select(0, index), priors.index_select(0, index)


def clip(boxes: Tensor, border: Tensor, wanted: bool) -> Tensor:
    """Return boxes within the picture, where that is wanted."""
    return boxes.clamp(min=0).minimum(border) if wanted else boxes


def border_of(image: Tensor) -> Tensor:
    """Return the sides of a picture (1, H, W, 3) as the largest box, (4,)."""
    height, width = image.shape[1:3]
    return torch.tensor([width, height, width, height]).float()


def of_large(boxes: Tensor, scores: Tensor, cfg: ConfigDict) -> Tensor:
    """Return scores (..., N), ``NEVER`` those of boxes that are too small.

    Args:
        boxes: (..., N, 4).
        scores: (..., N).
        cfg: Whose ``min_bbox_size`` is the least side; below 0: any.
    """
    if cfg.get('min_bbox_size', -1) < 0:
        return scores
    sides = boxes[..., 2:] - boxes[..., :2]
    return torch.where((sides > cfg.min_bbox_size).all(-1), scores, NEVER)


def move_apart(boxes: Tensor, lengths: Sequence[int]) -> Tensor:
    """Return boxes (..., N, 4) of which those of levels do not overlap.

    Source: mmcv's ``batched_nms``, to the last rounding.
    """
    if len(lengths) == 1:
        return boxes
    level = torch.cat(
        [boxes.new_full((n, 1), i) for i, n in enumerate(lengths)]
    )
    return boxes + level * (boxes.max() + 1)


def pool(
    extractor: nn.Module, feats: Sequence[Tensor], rois: Tensor
) -> Tensor:
    """Return (R, channels, P, P) of regions (R, 5), as RoIAlign has them.

    Every level pools every region, so that shapes are fixed. The regions of
    other levels are moved outside of the picture, where they give 0 and cost
    little.
    """
    feats = feats[extractor.first_level : extractor.num_inputs]
    if len(feats) == 1:
        return extractor.roi_layers[0](feats[0], rois)
    level = extractor.map_roi_levels(rois, len(feats))[:, None]
    nowhere = torch.tensor(NOWHERE)
    pooled = []
    for i, (layer, feat) in enumerate(
        zip(extractor.roi_layers, feats, strict=True)
    ):
        moved = torch.where(level == i, rois[:, 1:], nowhere)
        moved = torch.cat([rois[:, :1], moved], 1)
        pooled.append(layer(feat, moved))
    return sum(pooled)
