"""The engine's part that detects: in a picture, and in images of val."""

from __future__ import annotations

import base64
import functools
import os
from pathlib import Path
from typing import Any

from .images import jpeg

LEAST = 0.05  # score of what is told
WIDTH = 640  # px, of the pictures that are sent


@functools.lru_cache(maxsize=1)
def _detector(config: str, checkpoint: str, saved: float):
    """Return the detector of a run; ``saved`` is when it was."""
    from ..cli import load_detector_config
    from ..inference import TorchDetector

    cfg = load_detector_config(config, checkpoint)
    return cfg, TorchDetector(cfg, checkpoint)


def _detector_of(config: str, checkpoint: str):
    return _detector(config, checkpoint, os.path.getmtime(checkpoint))


def detect(config: str, checkpoint: str, image: str) -> dict[str, Any]:
    """Detect the objects in an uploaded picture.

    Args:
        config: Path of the run's config.
        checkpoint: Path of its weights.
        image: The file's bytes, in base 64.

    Returns:
        dict: ``picture``, a JPEG in base 64, its ``size``, width and height
        in pixels of the file, and ``found``, the objects; see
        :func:`_objects`.
    """
    _, detector = _detector_of(config, checkpoint)
    photo = detector.read(base64.b64decode(image))
    found = detector.detect(detector.prepare(photo))
    found = found[found.scores >= LEAST]
    return dict(
        picture=_small(photo.picture),
        size=photo.size,
        found=_objects(found, detector.meta['classes']),
    )


def compare(
    config: str, checkpoint: str, count: int = 24
) -> list[dict[str, Any]]:
    """Return val images, what is in them and what is found.

    Args:
        config: Path of the run's config.
        checkpoint: Path of its weights.
        count: How many of val are looked at, evenly spread.

    Returns:
        list: Of each image what :func:`detect` returns, its ``name`` and the
        ``truth``, objects without a score. Of those that are found ``hit``
        tells whether they are one of the truth at IoU 0.5, which those of
        higher scores are not. So of detections from any score on, the hits
        are those that tell so.
    """
    import numpy as np
    from mmdet.registry import DATASETS

    from ..inference import ground_truth

    cfg, detector = _detector_of(config, checkpoint)
    dataset = DATASETS.build(cfg.val_dataloader.dataset)
    names = detector.meta['classes']
    rows = []
    count = min(count, len(dataset))
    for index in np.linspace(0, len(dataset) - 1, count).round():
        info = dataset.get_data_info(int(index))
        photo = detector.read(info['img_path'])
        truth = ground_truth(info, detector.model.with_mask)
        found = detector.detect(detector.prepare(photo))
        found = found[found.scores >= LEAST]
        found = found[found.scores.argsort(descending=True)]
        objects = _objects(found, names)
        for one, hit in zip(objects, _hits(truth, found), strict=True):
            one['hit'] = hit
        rows.append(
            dict(
                name=Path(info['img_path']).name,
                picture=_small(photo.picture),
                size=photo.size,
                truth=_objects(truth, names),
                found=objects,
            )
        )
    return rows


def _objects(instances, names) -> list[dict[str, Any]]:
    """Return objects as the page has them.

    Returns:
        list: Of each ``label``, the class's name; ``number``, that of the
        class; ``box``, x1, y1, x2, y2 in pixels of the file; where there are
        any ``score`` and ``outline``, polygons of x, y, x, y …
    """
    from ..visualization import class_name

    objects = [
        dict(
            label=class_name(number, names),
            number=number,
            box=[round(side, 1) for side in box],
        )
        for number, box in zip(
            instances.labels.tolist(), instances.bboxes.tolist(), strict=True
        )
    ]
    if 'scores' in instances:
        for one, score in zip(objects, instances.scores.tolist(), strict=True):
            one['score'] = round(score, 4)
    if 'masks' in instances:
        for one, mask in zip(objects, instances.masks, strict=True):
            one['outline'] = _outline(mask)
    return objects


def _outline(mask) -> list[list[int]]:
    import cv2
    import numpy as np

    lines, _ = cv2.findContours(
        np.asarray(mask, np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE
    )
    return [line.ravel().tolist() for line in lines]


def _hits(truth, found) -> list[bool]:
    """Return which detections, the best first, are objects, each once."""
    import torch
    from mmdet.structures.bbox import bbox_overlaps

    boxes = (torch.as_tensor(kind.bboxes).float() for kind in (found, truth))
    overlaps = bbox_overlaps(*boxes)
    same = found.labels[:, None] == torch.as_tensor(truth.labels)[None]
    overlaps = overlaps * same
    hits = []
    for row in overlaps:
        hits.append(bool(len(row) and row.max() >= 0.5))
        if hits[-1]:
            overlaps[:, row.argmax()] = 0
    return hits


def _small(picture) -> str:
    height = round(picture.height * WIDTH / picture.width)
    return jpeg(picture.resize((WIDTH, height)))
