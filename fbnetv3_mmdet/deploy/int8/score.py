"""How well, and how fast, a file detects."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TypeVar

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from fbnetv3_runtime import Detector, Result

from ...data.annotations import Rules, read_contents
from ...data.coco import as_coco

CONFIDENT = 0.5  # least score of what another file must find, too
POSSIBLE = 0.25  # least score of what it may find

T = TypeVar('T')
# wraps what is iterated over, with a word for people, as tqdm does
Progress = Callable[[Sequence[T], str], Iterable[T]]


def detect(detector: Detector, files: Iterable[Path]) -> list[Result]:
    """Return what a detector finds in image files.

    Masks are COCO's RLE: those of many images would fill the memory.
    """
    results = []
    for file in files:
        found = detector.predict(file)
        if found.masks is not None:
            found = found._replace(masks=[m.rle() for m in found.masks])
        results.append(found)
    return results


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
            f'the model, at a score of {CONFIDENT}, {error}, or '
            'train the model for longer'
        ) from error


class Annotations:
    """A file of annotations in COCO's format.

    Args:
        path: The file.
        classes: Names of what a model detects.

    Raises:
        ValueError: The file is none, or would stop a training.
    """

    def __init__(self, path: str, classes: Sequence[str]) -> None:
        rules = Rules(classes=tuple(classes), learns=False)
        try:
            content = read_contents(path, rules).content
        except ValueError as error:
            raise ValueError(f'--ann={error}') from error
        known = zip(classes, content.categories, strict=True)
        if missing := [name for name, number in known if number is None]:
            warnings.warn(
                f'--ann={path!r} has no category {missing}, which the model '
                'detects: what it finds of them counts as false',
                stacklevel=2,
            )
        self._path, self._coco = path, as_coco(content)
        self._ids = {
            image['file_name']: image['id'] for image in self._coco['images']
        }
        self._categories = [item['id'] for item in self._coco['categories']]

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
    if masks is not None:
        masks = [mask for mask, kept in zip(masks, keep, strict=True) if kept]
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
