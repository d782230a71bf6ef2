"""What a detector finds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .images import Size
from .masks import Mask, box_masks


class Result(NamedTuple):
    """What was found in one image, the best first.

    Attributes:
        boxes: float32 (N, 4): x1, y1, x2, y2 in pixels of the image.
        scores: float32 (N,), 0 to 1.
        labels: int64 (N,): numbers of the classes, from 0.
        names: The N names of these classes.
        masks: The N masks, each of its own box: ``full()`` gives that of the
            image, ``rle()`` COCO's code; None from a model without masks.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    names: list[str]
    masks: list[Mask] | None


def interpret(
    found: dict[str, np.ndarray],
    size: Size,
    fit: Size,
    metadata: dict,
    score_thr: float,
) -> Result:
    """Return what a network found, in pixels of the image.

    Args:
        found: The network's outputs by name.
        size: (width, height) of the image.
        fit: The same in the network's input, where the image begins at the
            upper left.
        metadata: Of the file.
        score_thr: Least score of what is returned.
    """
    scores = found['scores']
    # an input of fixed size has a margin beside the picture
    inside = (found['boxes'][:, :2] <= fit).all(1)
    keep = inside & (scores >= score_thr)
    corner = np.array(size * 2, np.float32)
    factors = (np.array(fit * 2) / corner).astype(np.float32)
    boxes = (found['boxes'][keep] / factors).clip(0, corner)
    labels = found['labels'][keep]
    classes = dict(enumerate(metadata['classes']))
    names = [classes.get(i, f'class {i}') for i in labels.tolist()]
    masks = None
    if 'masks' in found:
        threshold = metadata['mask_thr']
        masks = box_masks(found['masks'][keep], boxes, size, threshold)
    return Result(boxes, scores[keep], labels, names, masks)
