"""What an annotation file in COCO's format holds."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ...data.annotations import (
    Findings,
    Rules,
    check_annotations,
    read_annotations,
)
from ...data.annotations.findings import NOTE, NUM_EXAMPLES, STOPS, Finding
from ...data.annotations.values import number
from .paths import find_dicts

NUM_FILES = 20  # how many of the images' names are kept


class Contents(NamedTuple):
    """A summary of an annotation file."""

    classes: tuple[str, ...]  # the categories' names, in the file's order
    files: tuple[str, ...]  # names of some images, spread over the file
    num_annotations: int
    usable: frozenset[str]  # names of the categories with a usable box
    findings: tuple[Finding, ...]  # what is not used as it stands there


def read_contents(
    path: str, rules: Rules, is_labelled: bool = True
) -> Contents:
    """Read an annotation file, once a process unless it changes.

    Args:
        path: Of the file.
        rules: What is made of it.
        is_labelled: Whether it must have annotations.

    Raises:
        ValueError: The file is missing, or of another format, or so broken
            that a training or a test would stop; the message begins with the
            file.
    """
    file = Path(path)
    if not file.is_file():
        raise ValueError(
            f"{path!r} is not a file; give a JSON file in COCO's format, its "
            'path relative to data_root'
        )
    stat = file.stat()
    return _read(path, rules, is_labelled, stat.st_size, stat.st_mtime_ns)


@functools.cache
def _read(
    path: str, rules: Rules, is_labelled: bool, _size: int, _changed: int
) -> Contents:
    data = read_annotations(path, is_labelled)
    for section in ('images', 'categories'):
        if not data[section]:
            raise ValueError(f'{path!r} has no {section}; correct the file')
    findings = Findings(rules.kinds)
    content = check_annotations(data, rules, findings)
    broken = [f for f in findings if f.effect == STOPS]
    if broken:
        raise ValueError(
            f'{path!r} is broken: {"; ".join(map(_text, broken))}; correct '
            'the file; tools/check_dataset.py writes all of it into a report'
        )
    files = [image['file_name'] for image in data['images']]
    return Contents(
        classes=tuple(item['name'] for item in data['categories']),
        files=tuple(files[:: -(-len(files) // NUM_FILES)]),
        num_annotations=content.num_annotations,
        usable=frozenset(content.names[i] for i in {*content.labels}),
        findings=tuple(f for f in findings if f.level != NOTE),
    )


def describe(path: str, contents: Contents) -> list[str]:
    """Return a line for each kind of what is not used as it stands."""
    return [f'{path!r}: {_text(f)}: {f.effect}' for f in contents.findings]


def training_rules(dataset: Mapping[str, Any]) -> Rules:
    """Return what a training with such a data set makes of all classes."""
    filters = dataset.get('filter_cfg')
    filters = filters if isinstance(filters, Mapping) else {}
    load = find_transform(dataset, 'LoadAnnotations') or {}
    return Rules(
        filter_empty=bool(filters.get('filter_empty_gt', False)),
        min_size=number(filters.get('min_size')) or 0,
        with_mask=bool(load.get('with_mask', False)),
        polygons=not load.get('poly2mask', True),
    )


def find_transform(
    dataset: Mapping[str, Any], kind: str
) -> Mapping[str, Any] | None:
    """Return the first transform of a type in a dataset's pipeline."""
    for _, node in find_dicts(dataset.get('pipeline'), 'pipeline'):
        if node.get('type') == kind:
            return node
    return None


def _text(finding: Finding) -> str:
    places = [str(place) for place in finding.places[:NUM_EXAMPLES]]
    more = ['...'] if finding.count > len(places) else []
    return f'{finding.count} x {finding.kind} ({", ".join(places + more)})'
