"""The engine's part that detects: in a picture, and in images of val."""

from __future__ import annotations

import base64
import functools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fbnetv3_runtime import Detector, Mask, Result

from .images import jpeg

LEAST = 0.05  # score of what is told
WIDTH = 640  # px, of the pictures that are sent


@functools.lru_cache(maxsize=1)
def _open(config: str, model: str, saved: float) -> tuple[Any, Any]:
    """Return a run's config and a detector of it; ``saved`` is when it was."""
    from ..cli import load_config, load_detector_config
    from ..inference import TorchDetector

    if model.endswith('.onnx'):
        cfg, detector = load_config(config), Detector(model)
    else:
        cfg = load_detector_config(config, model)
        detector = TorchDetector(cfg, model)
    detector.score_thr = LEAST
    return cfg, detector


def detect(config: str, model: str, image: str) -> dict[str, Any]:
    """Detect the objects in an uploaded picture.

    Args:
        config: Path of the run's config.
        model: Path of its weights, or of the file that they were exported to.
        image: The picture's bytes, in base 64.

    Returns:
        dict: ``picture``, a JPEG in base 64, its ``size``, width and height
        in pixels of the file, and ``found``, the objects; see
        :func:`_objects`.
    """
    _, detector = _open(config, model, os.path.getmtime(model))
    photo = detector.read(base64.b64decode(image))
    return dict(
        picture=_small(photo.picture),
        size=photo.size,
        found=_objects(detector.predict(photo)),
    )


def compare(config: str, model: str, count: int = 24) -> list[dict[str, Any]]:
    """Return val images, what is in them and what is found.

    Args:
        config: Path of the run's config.
        model: Path of its weights, or of the file that they were exported to.
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

    cfg, detector = _open(config, model, os.path.getmtime(model))
    dataset = DATASETS.build(cfg.val_dataloader.dataset)
    rows = []
    count = min(count, len(dataset))
    for index in np.linspace(0, len(dataset) - 1, count).round():
        info = dataset.get_data_info(int(index))
        photo = detector.read(info['img_path'])
        result = detector.predict(photo)
        with_mask = result.masks is not None
        truth = _truth(info, dataset.metainfo['classes'], with_mask)
        found = _objects(result)
        for one, hit in zip(found, _hits(truth, found), strict=True):
            one['hit'] = hit
        rows.append(
            dict(
                name=Path(info['img_path']).name,
                picture=_small(photo.picture),
                size=photo.size,
                truth=truth,
                found=found,
            )
        )
    return rows


def _truth(
    info: Mapping, classes: Sequence[str], with_mask: bool
) -> list[dict[str, Any]]:
    """Return the objects of an image of a data set, without scores."""
    import numpy as np

    from ..inference import ground_truth
    from ..visualization import class_name

    truth = ground_truth(info, with_mask)
    masks = None
    if with_mask:
        size = info['width'], info['height']
        masks = [Mask(mask, (0, 0), size) for mask in truth.masks]
    names = [class_name(label, classes) for label in truth.labels]
    ones = np.ones(len(names))
    objects = _objects(Result(truth.bboxes, ones, truth.labels, names, masks))
    for one in objects:
        del one['score']
    return objects


def _objects(found: Result) -> list[dict[str, Any]]:
    """Return objects as the page has them.

    Returns:
        list: Of each ``label``, the class's name; ``number``, that of the
        class; ``box``, x1, y1, x2, y2 in pixels of the file; ``score``; and
        where there are masks ``outline``, polygons of x, y, x, y …
    """
    objects = [
        dict(
            label=name,
            number=number,
            box=[round(side, 1) for side in box],
            score=round(score, 4),
        )
        for name, number, box, score in zip(
            found.names,
            found.labels.tolist(),
            found.boxes.tolist(),
            found.scores.tolist(),
            strict=True,
        )
    ]
    if found.masks is not None:
        for one, mask in zip(objects, found.masks, strict=True):
            one['outline'] = _outline(mask)
    return objects


def _outline(mask: Mask) -> list[list[int]]:
    import cv2
    import numpy as np

    pixels = np.ascontiguousarray(mask.pixels, np.uint8)
    lines, _ = cv2.findContours(
        pixels,
        cv2.RETR_LIST,
        cv2.CHAIN_APPROX_SIMPLE,
        offset=mask.corner,
    )
    return [line.ravel().tolist() for line in lines]


def _hits(truth: Sequence[Mapping], found: Sequence[Mapping]) -> list[bool]:
    """Return which detections, the best first, are objects, each once."""
    import torch
    from mmdet.structures.bbox import bbox_overlaps

    boxes, numbers = [], []
    for objects in (found, truth):
        sides = torch.tensor([one['box'] for one in objects])
        boxes.append(sides.float().reshape(-1, 4))
        numbers.append(torch.tensor([one['number'] for one in objects]))
    overlaps = bbox_overlaps(*boxes)
    overlaps = overlaps * (numbers[0][:, None] == numbers[1][None])
    hits = []
    for row in overlaps:
        hits.append(bool(len(row) and row.max() >= 0.5))
        if hits[-1]:
            overlaps[:, row.argmax()] = 0
    return hits


def _small(picture) -> str:
    height = round(picture.height * WIDTH / picture.width)
    return jpeg(picture.resize((WIDTH, height)))
