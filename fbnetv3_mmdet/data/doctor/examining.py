"""An examination of a data set, from its files to what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..annotations import (
    Content,
    Findings,
    Rules,
    check_annotations,
    read_annotations,
)
from .anchors import Fit, Scaled, fit_anchors, pooler_shares, scale_boxes
from .duplicates import check_leaks, check_names, check_twins
from .pictures import check_files, check_pictures, inspect_all


class Report(NamedTuple):
    """What an examination of a data set found."""

    content: Content  # what training uses of the annotations
    findings: Findings  # in the data set, and what val has of it
    val_findings: Findings  # in val itself; empty where there is none
    boxes: Scaled  # as the network sees them
    fits: list[Fit]  # how anchors suit the boxes
    pooler: tuple[int, float, float] | None  # of :func:`.pooler_shares`


def examine(
    cfg: Mapping[str, Any],
    rules: Rules,
    annotations: str,
    images: str | None = None,
    val: str | None = None,
    val_images: str | None = None,
    opens_images: bool = False,
) -> Report:
    """Examine a data set as a training would take it.

    Args:
        cfg: A whole config, whose resize, anchors and pooler count.
        rules: What :func:`.read_rules` takes from it.
        annotations: The annotation file in COCO's format.
        images: The folder that its file names start from. None: image files
            are not looked for.
        val: An annotation file of which no image should be in the first.
        val_images: The folder of its images, ``images`` by default.
        opens_images: Whether to open the image files, which needs
            ``images``, and not only to look for them.

    Raises:
        ValueError: A folder of images is missing, or an annotation file is
            none.
    """
    folder = _folder(images) if images else None
    data = read_annotations(annotations)
    content, findings = check_annotations(data, rules, folder)
    if opens_images:
        inspected = inspect_all(content.pictures, folder, 'Opening images')
        check_pictures(inspected, findings)
        check_twins(inspected, findings)
    elif folder:
        check_files(content.pictures, folder, findings)
    val_findings = Findings(rules.kinds)
    if val:
        val_folder = _folder(val_images) if val_images else folder
        theirs, val_findings = check_annotations(
            read_annotations(val, is_labelled=False),
            rules._replace(learns=False, classes=content.names),
            val_folder,
        )
        if opens_images:
            val_inspected = inspect_all(
                theirs.pictures, val_folder, 'Opening val'
            )
            check_pictures(val_inspected, val_findings)
            check_leaks(inspected, val_inspected, findings)
        elif val_folder:
            check_files(theirs.pictures, val_folder, val_findings)
            if val_folder == folder:
                check_names(content.pictures, theirs.pictures, findings)
    boxes = scale_boxes(content, cfg)
    fits, pooler = fit_anchors(boxes, cfg), pooler_shares(boxes, cfg)
    return Report(content, findings, val_findings, boxes, fits, pooler)


def _folder(path: str) -> Path:
    if not Path(path).is_dir():
        raise ValueError(
            f'{path!r} is not a folder; give the one that the file names in '
            'the annotation file start from'
        )
    return Path(path)
