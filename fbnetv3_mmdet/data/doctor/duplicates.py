"""Pictures that a data set has twice, or shares with another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from ..annotations import Defect, Findings, Place
from ..annotations.entries import Picture
from .pictures import Inspection

Inspections = Mapping[str, tuple[Picture, Inspection]]
# Of the gradients that either of two pictures has, net of those that point
# the other way. Copies and photographs of one scene share more, others 0.4.
LEAST_SHARE = 0.75
ROWS = 1000  # compared with all of val at a time


def check_names(
    pictures: Mapping, val_pictures: Mapping, findings: Findings
) -> None:
    """Count images of which val, in the same folder, has one too."""
    files = {picture.file for picture in val_pictures.values()} - {None}
    for picture in pictures.values():
        if picture.file in files:
            place = Place(picture.file, picture.id)
            findings.add(Defect.IN_VAL, place)


def check_twins(inspected: Inspections, findings: Findings) -> None:
    """Count files that are byte by byte the same as an earlier one."""
    first: dict[bytes, str] = {}
    for file, (picture, found) in inspected.items():
        twin = found.digest and first.setdefault(found.digest, file)
        if twin and twin != file:
            place = Place(file, picture.id, about=f'as {twin}')
            findings.add(Defect.SAME_BYTES, place)


def check_leaks(
    inspected: Inspections, val_inspected: Inspections, findings: Findings
) -> None:
    """Count images that val has too, or one that looks like them."""
    for leak in find_leaks(inspected, val_inspected):
        image = inspected[leak.file][0].id
        place = Place(leak.file, image, about=f'as {leak.twin}')
        defect = Defect.IN_VAL if leak.is_copy else Defect.LIKE_VAL
        findings.add(defect, place)


class Leak(NamedTuple):
    """An image that val has, too.

    Attributes:
        file: Its name.
        twin: Name of the one in val.
        share: Of their gradients, what they have in common.
        is_copy: Whether the files are the same byte by byte.
    """

    file: str
    twin: str
    share: float
    is_copy: bool


def find_leaks(
    inspected: Inspections, val_inspected: Inspections
) -> Iterator[Leak]:
    """Yield images that val has, then those that look like one of val.

    Args:
        inspected: Of :func:`.pictures.inspect_all`.
        val_inspected: Likewise, of val.
    """
    theirs = {file: found for file, (_, found) in val_inspected.items()}
    digests = {found.digest: file for file, found in theirs.items()}
    digests.pop(None, None)  # what could not be read
    rest = []
    for file, (_, found) in inspected.items():
        if twin := digests.get(found.digest):
            yield Leak(file, twin, 1.0, True)
        elif found.dhash is not None:
            rest.append(file)
    hashed = [file for file in theirs if theirs[file].dhash is not None]
    if not rest or not hashed:
        return
    val_signs = np.stack([theirs[file].dhash for file in hashed])
    for start in range(0, len(rest), ROWS):
        files = rest[start : start + ROWS]
        signs = np.stack([inspected[file][1].dhash for file in files])
        for file, row in zip(files, shared(signs, val_signs), strict=True):
            nearest = int(row.argmax())
            if row[nearest] >= LEAST_SHARE:
                yield Leak(file, hashed[nearest], float(row[nearest]), False)


def shared(signs: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return which share of their gradients pictures have in common.

    Args:
        signs: (M, G) of -1, 0 and 1.
        others: (N, G), likewise.

    Returns:
        np.ndarray: (M, N), from -1, all opposite, to 1, all the same.
    """
    steep, other_steep = abs(signs), abs(others)
    both = steep @ other_steep.T
    either = steep.sum(1)[:, None] + other_steep.sum(1) - both
    return signs @ others.T / np.maximum(either, 1)
