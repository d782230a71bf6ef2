"""How well, and how fast, a file detects."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from statistics import median
from typing import NamedTuple, TypeVar

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from fbnetv3_runtime import Detector, Result, encode_mask, read_image

from ...data.annotations import Rules, read_annotations, read_contents

CONFIDENT = 0.5  # least score of what another file must find, too
POSSIBLE = 0.25  # least score of what it may find

T = TypeVar('T')
# wraps what is iterated over, with a word for people, as tqdm does
Progress = Callable[[Sequence[T], str], Iterable[T]]


class Detections(NamedTuple):
    """What a file found in images.

    Attributes:
        results: The result of each image, its masks as COCO's RLE: those of
            many images would fill the memory.
        milliseconds: The median image takes, from its pixels to the boxes.
    """

    results: list[Result]
    milliseconds: float


def detect(detector: Detector, files: Iterable[Path]) -> Detections:
    """Detect the objects in image files."""
    results, seconds = [], []
    for file in files:
        picture = read_image(file)
        start = time.perf_counter()
        found = detector.predict(picture)
        seconds.append(time.perf_counter() - start)
        if found.masks is not None:
            masks = np.array([encode_mask(m) for m in found.masks], object)
            found = found._replace(masks=masks)
        results.append(found)
    return Detections(results, 1000 * median(seconds))


def spread(items: Sequence[T], number: int) -> list[T]:
    """Return so many of some items, evenly spread, or all that there are."""
    number = min(number, len(items))
    return [items[i * len(items) // number] for i in range(number)]


class CocoScorer:
    """Compares detections with what is to be found, by COCO's metrics.

    Objects of which there is no usable mask count for boxes; what covers
    them counts neither way for masks.

    Args:
        coco: Images, categories and annotations, in COCO's format.
        ids: Ids of the images that detections will be of, in their order.
        categories: Ids of the detections' classes.

    Raises:
        ValueError: There is nothing to be found; the message continues a
            sentence that begins with who says so.
    """

    def __init__(
        self, coco: Mapping, ids: Sequence[int], categories: Sequence[int]
    ) -> None:
        self._ids, self._categories = ids, categories
        known = set(ids)
        objects = [a for a in coco['annotations'] if a['image_id'] in known]
        if all(a.get('iscrowd') for a in objects):
            raise ValueError('sees no object in these images; give others')
        boxes = _index(coco, objects)
        with_masks = [_has_mask(boxes, a) for a in objects]
        self._truth = {'bbox': boxes}
        if any(with_masks):
            pairs = zip(objects, with_masks, strict=True)
            masks = [a if has else _ignored(a) for a, has in pairs]
            self._truth['segm'] = _index(coco, masks)

    def score(self, results: Sequence[Result]) -> dict[str, float]:
        """Return COCO's metrics in percent: AP, AP50, with masks their own."""
        entries = _list(results, self._ids, self._categories)
        scores = {}
        for kind, truth in self._truth.items():
            if kind == 'bbox' or results[0].masks is not None:
                prefix = 'mask ' if kind == 'segm' else ''
                stats = self._evaluate(truth, entries, kind)
                scores[f'{prefix}AP'], scores[f'{prefix}AP50'] = stats
        return scores

    def _evaluate(self, truth: COCO, entries: list[dict], kind: str) -> tuple:
        if not entries:
            return 0.0, 0.0
        with redirect_stdout(StringIO()):
            found = truth.loadRes([dict(entry) for entry in entries])
            evaluation = COCOeval(truth, found, kind)
            evaluation.params.imgIds = [*self._ids]
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        return tuple(float(100 * value) for value in evaluation.stats[:2])


def agreement(results: Sequence[Result]) -> CocoScorer:
    """Return a file's confident detections as what another should find.

    Of less confident ones it does not matter whether they are found: roundings
    move scores over any threshold.

    Raises:
        ValueError: There are none.
    """
    some = [_select(result, result.scores >= POSSIBLE) for result in results]
    ids = range(1, len(results) + 1)
    labels = {label for result in some for label in result.labels.tolist()}
    categories = range(max(labels, default=0) + 1)
    annotations = _list(some, ids, categories)
    for number, annotation in enumerate(annotations, 1):
        area = annotation['bbox'][2] * annotation['bbox'][3]
        # COCO ignores what is found of a crowd
        is_crowd = int(annotation['score'] < CONFIDENT)
        annotation |= dict(id=number, area=area, iscrowd=is_crowd)
    coco = dict(
        # COCO asks for sizes, and uses those of the masks
        images=[dict(id=i, height=0, width=0) for i in ids],
        categories=[dict(id=i) for i in categories],
        annotations=annotations,
    )
    try:
        return CocoScorer(coco, ids, categories)
    except ValueError as error:
        raise ValueError(
            f'the model, at a score of {CONFIDENT}, {error}'
        ) from error


class Annotations:
    """A file of annotations in COCO's format.

    Args:
        path: The file.
        classes: Names of what a model detects.

    Raises:
        ValueError: The file is none, or lacks a class.
    """

    def __init__(self, path: str, classes: Sequence[str]) -> None:
        rules = Rules(is_test=True, is_raw=True)
        try:
            names = read_contents(path, rules).classes
        except ValueError as error:
            raise ValueError(f'--ann={error}') from error
        missing = [name for name in classes if name not in names]
        if missing:
            raise ValueError(
                f'--ann={path!r} has the categories {[*names]}, and not '
                f'{missing}, which the model detects; give annotations of '
                'its classes'
            )
        coco = read_annotations(path)
        by_class = {item['name']: item['id'] for item in coco['categories']}
        self._path, self._coco = path, coco
        self._ids = {
            image['file_name']: image['id'] for image in coco['images']
        }
        self._categories = [by_class[name] for name in classes]

    def has(self, file: Path) -> bool:
        """Whether an image file is among the images."""
        return self._find(file) is not None

    def scorer(self, files: Sequence[Path]) -> CocoScorer:
        """Return what compares detections in image files with these.

        Raises:
            ValueError: One is not in the annotations, or all are empty.
        """
        ids = [self._find(file) for file in files]
        if None in ids:
            raise ValueError(
                f'--ann={self._path!r} has no image '
                f'{files[ids.index(None)]}; give annotations of the '
                'calibration images'
            )
        try:
            return CocoScorer(self._coco, ids, self._categories)
        except ValueError as error:
            raise ValueError(f'--ann={self._path!r} {error}') from error

    def _find(self, file: Path) -> int | None:
        """Return the id of the image whose name, the longest, ends a path."""
        parts = file.absolute().parts
        names = ('/'.join(parts[n:]) for n in range(1, len(parts)))
        known = (self._ids[name] for name in names if name in self._ids)
        return next(known, None)


def _index(coco: Mapping, annotations: Sequence[Mapping]) -> COCO:
    index = COCO()
    index.dataset = {**coco, 'annotations': annotations}
    with redirect_stdout(StringIO()):
        index.createIndex()
    return index


def _has_mask(index: COCO, annotation: Mapping) -> bool:
    if not annotation.get('segmentation'):
        return False
    try:
        index.annToRLE(annotation)
    except Exception:  # pycocotools raises anything
        return False
    return True


def _ignored(annotation: Mapping) -> dict:
    """Return an object as COCO has those of which it does not matter."""
    x, y, width, height = annotation['bbox']
    right, bottom = x + width, y + height
    polygon = [x, y, right, y, right, bottom, x, bottom]
    return {**annotation, 'iscrowd': 1, 'segmentation': [polygon]}


def _select(result: Result, keep: np.ndarray) -> Result:
    boxes, scores, labels, names, masks = result
    names = [name for name, kept in zip(names, keep, strict=True) if kept]
    masks = None if masks is None else masks[keep]
    return Result(boxes[keep], scores[keep], labels[keep], names, masks)


def _list(
    results: Sequence[Result], ids: Sequence[int], categories: Sequence[int]
) -> list[dict]:
    """Return detections as COCO has them."""
    entries = []
    for image, result in zip(ids, results, strict=True):
        corners, sides = np.split(result.boxes.astype(float), 2, axis=1)
        boxes = np.hstack([corners, sides - corners]).tolist()
        for i, label in enumerate(result.labels.tolist()):
            if label < len(categories):
                entry = dict(
                    image_id=image,
                    category_id=categories[label],
                    bbox=boxes[i],
                    score=float(result.scores[i]),
                )
                if result.masks is not None:
                    entry['segmentation'] = result.masks[i]
                entries.append(entry)
    return entries
