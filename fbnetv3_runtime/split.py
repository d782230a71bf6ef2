"""A detector in two files: what their networks leave out, in numpy.

Shapes: N candidates; R proposals; C classes; D detections; boxes are x1, y1,
x2, y2 in pixels of the network's input.
"""

from __future__ import annotations

import numpy as np

from .engine import Run
from .pooling import pool

MAX_RATIO = np.float32(abs(np.log(16 / 1000)))  # of sides that deltas change


def join(dense: Run, regions: Run, facts: dict) -> Run:
    """Return what runs both networks as one detector.

    Args:
        dense: From an image to features, and to logits and deltas of anchors.
        regions: From pooled regions, (R, channels, P, P), to scores and
            deltas.
        facts: The metadata under ``split``.
    """

    def run(image: np.ndarray) -> dict[str, np.ndarray]:
        height, width = image.shape[1:3]
        border = np.float32([width, height, width, height])
        found = dense(image)
        proposals, number = propose(found, border, facts)
        of_levels = len(facts['regions']['strides'])
        feats = [found[f'features{i}'][0] for i in range(of_levels)]
        pooled = pool(feats, proposals, facts['regions'])
        of_regions = regions(pooled)
        scores = of_regions['scores'][:number, :-1]
        deltas = of_regions['deltas'][:number]
        return detect(proposals[:number], scores, deltas, border, facts)

    return run


def propose(
    found: dict[str, np.ndarray], border: np.ndarray, facts: dict
) -> tuple[np.ndarray, int]:
    """Return (R, 4) proposals, and how many of them exist, the first."""
    own = facts['proposals']
    levels = [
        _best(found[f'logits{i}'][0], found[f'deltas{i}'][0], anchors, own)
        for i, anchors in enumerate(facts['anchors'])
    ]
    scores, deltas, anchors = map(np.concatenate, zip(*levels, strict=True))
    boxes = decode(anchors, deltas, border, own['coder'])
    apart = boxes
    if len(levels) > 1:
        counts = [len(level[0]) for level in levels]
        level = np.repeat(np.arange(len(levels), dtype=np.float32), counts)
        apart = boxes + level[:, None] * (boxes.max() + 1)
    usable = np.arange(len(boxes))
    if own['min_bbox_size'] >= 0:
        sides = boxes[:, 2:] - boxes[:, :2]
        usable = np.flatnonzero((sides > own['min_bbox_size']).all(1))
    kept = suppress(
        apart[usable], scores[usable], own['iou_thr'], own['max_per_img']
    )
    proposals = np.zeros((own['max_per_img'], 4), np.float32)
    proposals[:, 2:] = 1  # an area, also of those that do not exist
    proposals[: len(kept)] = boxes[usable[kept]]
    return proposals, len(kept)


def detect(
    proposals: np.ndarray,
    scores: np.ndarray,
    deltas: np.ndarray,
    border: np.ndarray,
    facts: dict,
) -> dict[str, np.ndarray]:
    """Return (D, 4) boxes, their scores and labels, best first.

    Args:
        proposals: (R, 4).
        scores: (R, C).
        deltas: (R, 4), or (R, 4 * C) of each class.
        border: Width, height, width, height of the input.
        facts: The metadata under ``split``.
    """
    own = facts['boxes']
    per_row = deltas.shape[1] // 4
    boxes = decode(
        np.repeat(proposals, per_row, 0),
        deltas.reshape(-1, 4),
        border,
        own['coder'],
    ).reshape(len(proposals), per_row, 4)
    parts = []
    for label in range(scores.shape[1]):
        of_class = boxes[:, min(label, per_row - 1)]
        sure = np.flatnonzero(scores[:, label] > own['score_thr'])
        index = sure[
            suppress(
                of_class[sure],
                scores[sure, label],
                own['iou_thr'],
                own['max_per_img'],
            )
        ]
        labels = np.full(len(index), label, np.int64)
        parts.append((of_class[index], scores[index, label], labels))
    boxes, scores, labels = map(np.concatenate, zip(*parts, strict=True))
    order = np.argsort(-scores, kind='stable')[: own['max_per_img']]
    order = order[(boxes[order, 2:] > boxes[order, :2]).all(1)]
    return dict(boxes=boxes[order], scores=scores[order], labels=labels[order])


def decode(
    boxes: np.ndarray, deltas: np.ndarray, border: np.ndarray, coder: dict
) -> np.ndarray:
    """Return (N, 4) boxes moved by deltas, as ``DeltaXYWHBBoxCoder`` does."""
    deltas = deltas * np.float32(coder['stds']) + np.float32(coder['means'])
    sides = boxes[:, 2:] - boxes[:, :2]
    shifts, ratios = sides * deltas[:, :2], deltas[:, 2:]
    if coder['ctr_clamp'] is None:
        ratios = ratios.clip(-MAX_RATIO, MAX_RATIO)
    else:
        shifts = shifts.clip(-coder['ctr_clamp'], coder['ctr_clamp'])
        ratios = ratios.clip(max=MAX_RATIO)
    centres = (boxes[:, :2] + boxes[:, 2:]) * np.float32(0.5) + shifts
    half = sides * np.exp(ratios) * np.float32(0.5)
    moved = np.concatenate([centres - half, centres + half], 1)
    return moved.clip(0, border) if coder['clip_border'] else moved


def suppress(
    boxes: np.ndarray, scores: np.ndarray, iou_thr: float, limit: int
) -> np.ndarray:
    """Return indices of boxes that no better one overlaps, best first.

    Args:
        boxes: (N, 4).
        scores: (N,).
        iou_thr: Most that two boxes may overlap.
        limit: Most boxes that are kept.
    """
    order = np.argsort(-scores, kind='stable')
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept = []
    while len(order) and len(kept) < limit:
        best, order = order[0], order[1:]
        kept.append(best)
        others = boxes[order]
        low = np.maximum(boxes[best, :2], others[:, :2])
        high = np.minimum(boxes[best, 2:], others[:, 2:])
        common = (high - low).clip(0).prod(1)
        union = areas[best] + areas[order] - common
        order = order[~(common > iou_thr * union)]
    return np.array(kept, int)


def _best(
    logits: np.ndarray, deltas: np.ndarray, anchors: dict, own: dict
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return logits, deltas and anchors of a level's best, best first.

    Args:
        logits: (A, H, W) of A anchors a place.
        deltas: (4 * A, H, W).
        anchors: ``strides`` in x and y, and the A ``boxes`` of the first
            place.
        own: The settings of proposals.
    """
    count, height, width = logits.shape
    scores = logits.transpose(1, 2, 0).ravel()
    order = np.argsort(-scores, kind='stable')
    if own['nms_pre'] > 0:
        order = order[: own['nms_pre']]
    place, anchor = np.divmod(order, count)
    y, x = np.divmod(place, width)
    step_x, step_y = anchors['strides']
    shifts = np.stack([x * step_x, y * step_y] * 2, 1).astype(np.float32)
    deltas = deltas.transpose(1, 2, 0).reshape(-1, 4)[order]
    return scores[order], deltas, np.float32(anchors['boxes'])[anchor] + shifts
