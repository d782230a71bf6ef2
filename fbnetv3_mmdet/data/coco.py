"""Data sets and evaluation that share one judgement of an annotation file."""

from __future__ import annotations

import json
import os
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

from mmdet.datasets import CocoDataset
from mmdet.evaluation import CocoMetric
from mmdet.registry import DATASETS, METRICS
from mmengine.fileio import get_local_path

from .annotations import Content, Object, dataset_rules, read_contents
from .annotations.entries import Picture


@DATASETS.register_module()
class CheckedCocoDataset(CocoDataset):
    """A data set in COCO's format, as :mod:`.annotations` judges it.

    MMDetection's ``CocoDataset`` reads UTF-8 only, takes labels from the order
    of the file's categories, leaves out objects without an area and stops at
    other fields that are missing. Here classes go by name, boxes are cut to
    their images, and areas, ``iscrowd`` and image sizes that are missing are
    derived.

    Args:
        with_mask (bool): Masks are learnt or compared: objects without a
            sound one are set aside as crowds are. Also where the pipeline has
            ``LoadAnnotations(with_mask=True)``.
        **kwargs: Of MMDetection's ``CocoDataset``.

    Raises:
        ValueError: The file would stop a training, in one line that says why.
    """

    is_checked = True  # for rules of the annotations

    def __init__(self, *, with_mask: bool = False, **kwargs: Any) -> None:
        rules = dataset_rules(dict(kwargs, type=type(self)))
        self.rules = rules._replace(
            with_mask=with_mask or rules.with_mask,
            learns=not kwargs.get('test_mode', False),
            bad_share=1,  # WholeImagesHook says how many may be missing
        )
        super().__init__(**kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """Return what MMDetection's pipelines take of each image."""
        classes = self.metainfo['classes']
        self.rules = self.rules._replace(classes=tuple(classes))
        remote = self.backend_args or '://' in self.ann_file
        folder = None if remote else self.data_prefix['img']
        with get_local_path(self.ann_file, self.backend_args) as path:
            content = read_contents(path, self.rules, folder).content
        self._metainfo['category_ids'] = content.categories
        self._named = content.named
        objects: dict[Hashable, list[Object]] = {}
        for item in content.objects:
            objects.setdefault(item.picture.id, []).append(item)
        self._used = {
            key
            for key, picture in content.pictures.items()
            if picture.is_used or picture.width is None
        }
        return [
            self._image(picture, objects.get(key, []))
            for key, picture in content.pictures.items()
        ]

    def filter_data(self) -> list[dict[str, Any]]:
        """Return the images that ``filter_cfg`` leaves in."""
        if self.test_mode:
            return self.data_list
        keep = self._used
        if self.rules.filter_empty:
            keep = keep & self._named
        return [info for info in self.data_list if info['img_id'] in keep]

    def _image(self, picture: Picture, objects: list[Object]) -> dict:
        info = dict(
            img_id=picture.id,
            img_path=os.path.join(self.data_prefix['img'], picture.name),
            seg_map_path=None,
            width=_whole(picture.width),
            height=_whole(picture.height),
            instances=[self._instance(item) for item in objects],
        )
        if self.return_classes:
            info['text'] = self.metainfo['classes']
            info['caption_prompt'] = self.caption_prompt
            info['custom_entities'] = True
        return info

    def _instance(self, item: Object) -> dict[str, Any]:
        box = corners(item)
        mask = item.mask
        if mask is None and self.rules.with_mask:  # it is set aside
            left, top, right, bottom = box
            mask = [[left, top, right, top, right, bottom, left, bottom]]
        found = dict(
            bbox=box,
            bbox_label=item.label,
            ignore_flag=int(item.is_aside),
            area=item.area,
        )
        return found if mask is None else found | dict(mask=mask)


@METRICS.register_module()
class CheckedCocoMetric(CocoMetric):
    """COCO's metrics against the objects that the data set has.

    The pipeline packs them: ``PackDetInputs`` with 'instances' in its
    ``meta_keys``. Where only predictions are written, their categories have
    the ids of the annotation file.

    Args:
        ann_file (str, optional): The data set's own file, or None; it is not
            read a second time.
        **kwargs: Of MMDetection's ``CocoMetric``.
    """

    def __init__(self, ann_file: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)

    def gt_to_coco_json(
        self, gt_dicts: Sequence[dict], outfile_prefix: str
    ) -> str:
        """Write the objects in COCO's format; return the file's path."""
        path = super().gt_to_coco_json(gt_dicts, outfile_prefix)
        data = json.loads(Path(path).read_bytes())
        ids = self._category_ids()
        for category, key in zip(data['categories'], ids, strict=True):
            category['id'] = key
        objects = [item for gt in gt_dicts for item in gt['anns']]
        written = data.setdefault('annotations', [])
        for entry, item in zip(written, objects, strict=True):
            entry['area'] = item.get('area', entry['area'])
            entry['category_id'] = ids[entry['category_id']]
        Path(path).write_text(json.dumps(data))
        return path

    def _category_ids(self) -> list:
        """Return the classes' ids: the file's, for whom scores elsewhere.

        COCOeval needs them in the order of the classes.
        """
        plain = list(range(1, len(self.dataset_meta['classes']) + 1))
        ids = list(self.dataset_meta.get('category_ids') or plain)
        known = all(type(key) is int for key in ids)
        return (
            ids
            if known and (self.format_only or ids == sorted(ids))
            else (plain)
        )


def corners(item: Object) -> list[float]:
    """Return left, top, right and bottom of a box, cut to its image."""
    left, top, width, height = item.box
    right, bottom = left + width, top + height
    if item.picture.width is not None:
        right = min(right, item.picture.width)
        bottom = min(bottom, item.picture.height)
    return [max(left, 0.0), max(top, 0.0), right, bottom]


def as_coco(content: Content) -> dict[str, list[dict[str, Any]]]:
    """Return what is used of an annotation file, in COCO's format.

    Categories have the ids 1 to N in the order of the classes, annotations
    those of their order; images keep theirs.
    """
    annotations = []
    for number, item in enumerate(content.objects, 1):
        left, top, right, bottom = corners(item)
        entry = dict(
            id=number,
            image_id=item.picture.id,
            category_id=item.label + 1,
            bbox=[left, top, right - left, bottom - top],
            area=item.area,
            iscrowd=int(item.is_aside),
        )
        if item.mask is not None:
            entry['segmentation'] = item.mask
        annotations.append(entry)
    return dict(
        images=[
            dict(
                id=picture.id,
                file_name=picture.name,
                width=_whole(picture.width),
                height=_whole(picture.height),
            )
            for picture in content.pictures.values()
        ],
        categories=[
            dict(id=number, name=name)
            for number, name in enumerate(content.names, 1)
        ],
        annotations=annotations,
    )


def _whole(side: float | None) -> float | None:
    """Return pixels as an integer where they are whole."""
    return int(side) if side is not None and side == int(side) else side
