"""How the boxes of a data set suit the anchors and the pooler of a config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from mmcv.image import rescale_size
from mmdet.registry import MODELS, TASK_UTILS

from ..annotations import Content
from ..datasets import find_dataset, find_transform
from .clusters import cluster

IOU = 0.5  # from which an anchor reaches a box
HEADS = ('rpn_head', 'bbox_head')  # that may have anchors
CHUNK = 50_000  # boxes compared with the anchors at a time


class Scaled(NamedTuple):
    """Boxes in pixels of the network's input."""

    centers: np.ndarray  # (N, 2): x, y
    sides: np.ndarray  # (N, 2): width, height
    images: np.ndarray  # (N, 2): width, height of the input

    @property
    def sizes(self) -> np.ndarray:
        """Square roots of the areas, (N,)."""
        return np.sqrt(self.sides.prod(1))


class Fit(NamedTuple):
    """How anchors suit boxes."""

    sizes: list[float]  # of the anchors, px: square roots of their areas
    ratios: list[float]  # height / width
    overlaps: np.ndarray  # (N,): IoU of every box with its best anchor
    settings: Mapping[str, Any]  # of the anchors' generator
    snippet: str  # of a config, '' where these anchors are in use

    @property
    def missed(self) -> float:
        """Share of the boxes that no anchor reaches."""
        return float(np.mean(self.overlaps < IOU))


def scale_boxes(content: Content, cfg: Mapping[str, Any]) -> Scaled:
    """Return the boxes as the network sees them when it is tested."""
    dataset = find_dataset(cfg, 'test_dataloader')
    resize = find_transform(dataset, 'Resize') or {}
    images, index = np.unique(content.sizes, axis=0, return_inverse=True)
    scale = resize.get('scale')
    if scale is None:
        targets = images
    elif resize.get('keep_ratio'):
        targets = np.array([rescale_size(tuple(s), scale) for s in images])
    else:
        targets = np.broadcast_to(scale, images.shape)
    targets = np.maximum(targets.reshape(-1, 2)[index.ravel()], 1.0)
    factors = targets / content.sizes
    corners, sides = content.boxes[:, :2], content.boxes[:, 2:]
    return Scaled((corners + sides / 2) * factors, sides * factors, targets)


def fit_anchors(boxes: Scaled, cfg: Mapping[str, Any]) -> list[Fit]:
    """Return how the config's anchors suit, and how k-means' would.

    Nothing where the config has no anchors or there are no boxes; no
    suggestion for anchors of other types than ``AnchorGenerator``.
    """
    for head in HEADS:
        settings = cfg['model'].get(head, {}).get('anchor_generator')
        if settings and len(boxes.sides):
            fits = [_fit(boxes, settings, '')]
            if settings['type'] == 'AnchorGenerator':
                better = suggest(boxes, settings)
                fits.append(_fit(boxes, better, _snippet(head, better)))
            return fits
    return []


def better_fit(fits: Sequence[Fit]) -> Fit | None:
    """Return the suggestion, None where it reaches no more boxes."""
    if len(fits) == 2 and fits[1].missed < fits[0].missed:
        return fits[1]
    return None


def missed_boxes(boxes: Scaled, fits: Sequence[Fit]) -> np.ndarray:
    """Return which boxes the anchors in use do not reach, (N,)."""
    if not fits:
        return np.zeros(len(boxes.sides), bool)
    return fits[0].overlaps < IOU


def _fit(boxes: Scaled, settings: Mapping[str, Any], snippet: str) -> Fit:
    generator = TASK_UTILS.build(dict(settings))
    anchors = [level.double().numpy() for level in generator.base_anchors]
    sides = np.concatenate(anchors)
    sides = sides[:, 2:] - sides[:, :2]
    return Fit(
        sorted({round(float(s), 1) for s in np.sqrt(sides.prod(1))}),
        sorted({round(float(h / w), 2) for w, h in sides}),
        np.concatenate(
            [
                best_overlaps(
                    Scaled(*(rows[start : start + CHUNK] for rows in boxes)),
                    anchors,
                    generator.strides,
                )
                for start in range(0, len(boxes.sides), CHUNK)
            ]
        ),
        settings,
        snippet,
    )


def best_overlaps(
    boxes: Scaled, anchors: list[np.ndarray], strides: list[tuple[int, int]]
) -> np.ndarray:
    """Return the IoU of every box with its best anchor, (N,).

    Of each shape the anchor at the nearest point of the grid overlaps most,
    as the overlap falls with the distance along each axis.

    Args:
        boxes: N boxes.
        anchors: Of every level (A, 4): corners, about the grid's first point.
        strides: Of every level, along x and y.
    """
    best = np.zeros(len(boxes.sides))
    low = (boxes.centers - boxes.sides / 2)[:, None]
    high = (boxes.centers + boxes.sides / 2)[:, None]
    area = boxes.sides.prod(1)[:, None]
    for level, stride in zip(anchors, strides, strict=True):
        middle = (level[:, :2] + level[:, 2:]) / 2
        last = np.ceil(boxes.images / stride)[:, None] - 1
        cell = np.round((boxes.centers[:, None] - middle) / stride)
        shift = np.clip(cell, 0, last) * stride  # (N, A, 2)
        common = np.minimum(high, level[:, 2:] + shift) - np.maximum(
            low, level[:, :2] + shift
        )
        overlap = np.maximum(common, 0).prod(2)
        sum_of_areas = area + (level[:, 2:] - level[:, :2]).prod(1)
        best = np.maximum(best, (overlap / (sum_of_areas - overlap)).max(1))
    return best


def suggest(boxes: Scaled, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings of anchors that k-means chooses for the boxes.

    As many ratios as there are and, with one level, as many sizes; with
    several levels one size each.
    """
    levels = TASK_UTILS.build(dict(settings))
    strides, num = levels.strides, len(levels.strides)
    num_sizes = num if num > 1 else len(levels.scales)
    sizes, ratios = cluster(boxes.sides, num_sizes, len(levels.ratios))
    keep = ('type', 'strides', 'center_offset', 'scale_major')
    chosen = {key: settings[key] for key in keep if key in settings}
    if num > 1:
        base_sizes, scales = sizes, np.ones(1)
    else:
        base_sizes, scales = np.array(strides[0][:1]), sizes / strides[0][0]
    return chosen | dict(
        base_sizes=[round(float(size), 2) for size in base_sizes],
        scales=[round(float(scale), 2) for scale in scales],
        ratios=[round(float(ratio), 2) for ratio in ratios],
    )


def _snippet(head: str, settings: Mapping[str, Any]) -> str:
    lines = [
        f'            {key}={value!r},' for key, value in settings.items()
    ]
    return '\n'.join(
        [
            'model = dict(',
            f'    {head}=dict(',
            '        anchor_generator=dict(',
            '            _delete_=True,',
            *lines,
            '        )))',
        ]
    )


def pooler_shares(
    boxes: Scaled, cfg: Mapping[str, Any]
) -> tuple[int, float, float] | None:
    """Return how finely the pooler samples the boxes.

    Returns:
        tuple, optional: Its resolution; the shares of boxes whose bins, and
        that as a whole, are under one cell of their level's features along
        the shorter side. None without a pooler or boxes.
    """
    settings = cfg['model'].get('roi_head', {}).get('bbox_roi_extractor')
    if not settings or not len(boxes.sides):
        return None
    pooler = MODELS.build(dict(settings))
    resolution = pooler.roi_layers[0].output_size[0]
    low = boxes.centers - boxes.sides / 2
    high = low + boxes.sides
    rois = np.concatenate((np.zeros((len(low), 1)), low, high), 1)
    strides = torch.tensor(pooler.featmap_strides)
    levels = pooler.map_roi_levels(torch.from_numpy(rois), len(strides))
    cells = boxes.sides.min(1) / strides[levels].numpy()
    return (
        resolution,
        float(np.mean(cells < resolution)),
        float(np.mean(cells < 1)),
    )
