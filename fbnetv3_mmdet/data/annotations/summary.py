"""The judgement of an annotation file, which all that use it share."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from mmengine.dist import broadcast_object_list, get_rank, is_distributed

from .checking import check_annotations
from .content import Content
from .defects import DROPPED, ERROR, NOTE, Defect
from .findings import Finding
from .reading import BOMS, read_annotations
from .rules import Rules

NUM_FILES = 4  # judged, are kept: those of training and evaluation
CONCLUSIONS = (Defect.NOTHING, Defect.EMPTY_CLASS)  # the last is clearer
NUM_NAMED = 5  # places of a defect that stops a training


class Contents(NamedTuple):
    """What an annotation file holds, and what of it is not as it should be."""

    content: Content
    findings: tuple[Finding, ...]  # of all levels


def read_contents(
    path: str, rules: Rules, folder: str | None = None
) -> Contents:
    """Read and judge an annotation file, once a run unless it changes.

    Of several processes of a training the first does so, and tells the rest.

    Args:
        path: Of the file.
        rules: What is made of it.
        folder: That its file names start from; None: it is not looked into.

    Raises:
        ValueError: The file is missing, or of another format, or so broken
            that a training or a test would stop; the message begins with the
            file.
    """
    if not is_distributed():
        return _read(path, rules, folder)
    told: list = [None]
    if get_rank() == 0:
        try:
            told = [_read(path, rules, folder)]
        except ValueError as error:
            told = [error]
    broadcast_object_list(told)
    if isinstance(told[0], ValueError):
        raise told[0]
    return told[0]


def _read(path: str, rules: Rules, folder: str | None) -> Contents:
    if not Path(path).is_file():
        raise ValueError(
            f"{path!r} is not a file; give a JSON file in COCO's format, its "
            'path relative to data_root'
        )
    state = [Path(place).stat() for place in filter(None, (path, folder))]
    contents = _judge(
        path,
        rules._replace(whole_images=False, bad_share=0, brightest=None),
        folder,
        tuple((place.st_size, place.st_mtime_ns) for place in state),
    )
    allowed = rules.bad_share * len(contents.content.pictures)
    if refusal := refuse(contents.findings, allowed):
        raise ValueError(f'{path!r} {refusal}')
    return contents


@functools.lru_cache(NUM_FILES)
def _judge(
    path: str, rules: Rules, folder: str | None, _state: tuple
) -> Contents:
    if rules.is_raw:
        with open(path, 'rb') as file:
            if file.read(3).startswith(BOMS):
                raise ValueError(
                    f'{path!r} begins with a byte order mark, which '
                    'pycocotools does not read; save it as UTF-8 without, or '
                    "set the data set's type='CheckedCocoDataset'"
                )
    data = read_annotations(path, is_labelled=rules.learns)
    for section in ('images', 'categories'):
        if not data[section] and (rules.learns or section == 'images'):
            raise ValueError(f'{path!r} has no {section}; correct the file')
    content, findings = check_annotations(
        data, rules, None if folder is None else Path(folder)
    )
    if rules.is_raw:  # read by others, and maybe as large as COCO
        content = content._replace(objects=())
    return Contents(content, tuple(findings))


def refuse(findings: Iterable[Finding], missing: float = 0) -> str | None:
    """Return why a training is refused, and the remedy; None: it is not.

    Args:
        findings: What an annotation file has.
        missing: How many image files may be missing.
    """
    broken = [
        finding
        for finding in findings
        if finding.stops
        and not (finding.defect is Defect.MISSING and finding.count <= missing)
    ]
    if not broken:
        return None
    causes = [f for f in broken if f.defect not in CONCLUSIONS]
    if not causes:  # what is left out adds up to it
        causes = [
            finding
            for finding in findings
            if finding.level == DROPPED or finding.defect is Defect.CROWDS
        ]
        causes.append(broken[-1])
    texts = [finding.text(NUM_NAMED) for finding in causes]
    remedies = dict.fromkeys(
        f.defect.remedy for f in causes if f.level == ERROR
    )
    return (
        f'is broken: {"; ".join(texts)}; {"; or ".join(remedies)}; '
        'tools/check_dataset.py tells all'
    )


def describe(path: str, contents: Contents) -> list[str]:
    """Return a line for each kind of what is not used as it stands."""
    return [
        f'{path!r}: {finding.text()}: {finding.effect}'
        for finding in contents.findings
        if finding.level != NOTE
    ]
