"""What an annotation file in COCO's format holds."""

import functools
from pathlib import Path
from typing import NamedTuple

from .checking import check_annotations
from .findings import NOTE, NUM_EXAMPLES, STOPS, Finding
from .reading import read_annotations
from .rules import Rules

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
    content, findings = check_annotations(data, rules)
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


def _text(finding: Finding) -> str:
    places = [str(place) for place in finding.places[:NUM_EXAMPLES]]
    more = ['...'] if finding.count > len(places) else []
    return f'{finding.count} x {finding.kind} ({", ".join(places + more)})'
