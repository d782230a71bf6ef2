"""What can be wrong with a data set, and what training makes of it.

The levels are what MMDetection's ``CocoDataset``, ``LoadImageFromFile``,
``LoadAnnotations`` and ``CocoMetric`` were measured to do with each defect.
Annotation files in which one stops training are refused before it begins.
"""

from __future__ import annotations

import reprlib
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

ERROR = 'error'  # training stops, or learns something else than was meant
DROPPED = 'dropped'  # training leaves it out
NOTE = 'note'  # training uses it as it is
LEVELS = (ERROR, DROPPED, NOTE)
NUM_PLACES = 20  # of a kind are kept
NUM_EXAMPLES = 3  # ... and shown
MAX_TEXT = 60  # characters of a text from the files that are shown


class Kind(NamedTuple):
    """How bad a kind of defect is."""

    level: str
    effect: str  # what training makes of it


class Place(NamedTuple):
    """Where a defect is; what does not apply or is not known is None."""

    file: Any = None  # name of the image, as in the annotation file
    image: Any = None  # id
    annotation: Any = None  # id
    box: Any = None  # x, y, width, height in pixels of the image
    twin: Any = None  # another box there
    about: str = ''  # what was found there

    def __str__(self) -> str:
        """Return file, id and what was found, safe to print."""
        parts = [] if self.file is None else [show(self.file)]
        if self.image is not None and self.file is None:
            parts.append(f'image {show(self.image)}')
        if self.annotation is not None:
            parts.append(f'#{show(self.annotation)}')
        if self.about:
            parts.append(f'({show(self.about)})')
        return ' '.join(parts)


class Finding(NamedTuple):
    """One kind of defect that a data set has."""

    kind: str
    level: str
    effect: str
    count: int
    places: list[Place]  # the first :data:`NUM_PLACES`


STOPS = 'training stops'
LEFT_OUT = 'left out'
OUTSIDE = 'box outside its image'
PARTLY = 'box partly outside its image'
NO_OBJECTS = 'image without objects'
NONE_USABLE = 'image of whose objects none is usable'
NO_POLYGON = 'polygon of too few points'
ODD_POLYGON = 'polygon of odd length'
PART_POLYGON = 'broken polygon beside good ones'
BAD_MASK = 'segmentation of a wrong type'
WILD_MASK = 'segmentation that does not fit its image'
RLE_MASK = 'run-length mask, not polygons'
NO_MASK = 'object without segmentation'
NAN_BOX = 'box with NaN'
EMPTY_BOX = 'box of zero or negative size'
SMALL_BOX = 'box under one pixel'
NO_AREA = 'area of zero or less'
IGNORED = 'object with ignore'
NO_CROWD = 'annotation without iscrowd'
TEXT_ID = 'annotation id that is no number'
ZERO_ID = 'annotation id 0'
MIXED_IDS = 'ids that are numbers and others'
MISSING = 'missing file'
EMPTY = 'empty file'
NO_PICTURE = 'not an image'
ENORMOUS = 'enormous picture'
TRUNCATED = 'truncated picture'
TOO_THIN = 'thinner than 1 to 500'
WRONG_SIZE = 'size differs from the JSON'
EXIF_STORED = 'EXIF-rotated, JSON fits the stored size'
EXIF_FITS = 'EXIF-rotated, JSON fits what is read'
EXIF_UNCLEAR = 'EXIF-turned, the size does not tell'

KINDS = {
    # images
    'image entry of a wrong type': Kind(ERROR, STOPS),
    'duplicate image id': Kind(ERROR, STOPS),
    'missing file name': Kind(ERROR, STOPS),
    'duplicate file name': Kind(ERROR, "each lacks the others' boxes"),
    'file name leaves the folder': Kind(ERROR, 'another file is read'),
    'image size in JSON is wrong': Kind(ERROR, STOPS),
    'image below min_size': Kind(DROPPED, LEFT_OUT),
    NO_OBJECTS: Kind(NOTE, 'used as background'),
    'image with only ignored objects': Kind(NOTE, 'used as background'),
    NONE_USABLE: Kind(ERROR, 'objects are learnt as background'),
    # categories
    'category entry of a wrong type': Kind(ERROR, STOPS),
    'duplicate category id': Kind(ERROR, STOPS),
    'duplicate category name': Kind(ERROR, STOPS),
    'category ids with gaps': Kind(NOTE, 'used'),
    # annotations
    'annotation entry of a wrong type': Kind(ERROR, STOPS),
    'duplicate annotation id': Kind(ERROR, STOPS),
    TEXT_ID: Kind(NOTE, 'CocoMetric would stop'),
    ZERO_ID: Kind(NOTE, 'CocoMetric would not find it'),
    MIXED_IDS: Kind(NOTE, 'CocoMetric would stop'),
    'unknown image id': Kind(DROPPED, LEFT_OUT),
    'unknown category id': Kind(DROPPED, LEFT_OUT),
    'class that the config lacks': Kind(DROPPED, LEFT_OUT),
    'box that is not four numbers': Kind(ERROR, STOPS),
    NAN_BOX: Kind(DROPPED, LEFT_OUT),
    'infinite box': Kind(ERROR, STOPS),
    EMPTY_BOX: Kind(DROPPED, LEFT_OUT),
    SMALL_BOX: Kind(DROPPED, LEFT_OUT),
    OUTSIDE: Kind(DROPPED, LEFT_OUT),
    PARTLY: Kind(NOTE, 'cut to the image'),
    'area that is no number': Kind(ERROR, STOPS),
    NO_AREA: Kind(DROPPED, LEFT_OUT),
    'area that is NaN or infinite': Kind(NOTE, 'not used in training'),
    'duplicate box': Kind(ERROR, 'counts as two objects'),
    'nearly the same box twice': Kind(NOTE, 'counts as two objects'),
    'crowd': Kind(NOTE, 'no object to find'),
    'iscrowd that is neither 0 nor 1': Kind(ERROR, STOPS),
    NO_CROWD: Kind(NOTE, 'CocoMetric would stop'),
    IGNORED: Kind(NOTE, 'left out, as it says'),
    NO_POLYGON: Kind(NOTE, 'only masks would suffer'),
    ODD_POLYGON: Kind(NOTE, 'only masks would suffer'),
    PART_POLYGON: Kind(NOTE, 'only masks would suffer'),
    BAD_MASK: Kind(NOTE, 'only masks would suffer'),
    WILD_MASK: Kind(NOTE, 'only masks would suffer'),
    RLE_MASK: Kind(NOTE, 'only masks would suffer'),
    NO_MASK: Kind(NOTE, 'no masks'),
    # pictures
    MISSING: Kind(ERROR, STOPS),
    EMPTY: Kind(ERROR, STOPS),
    NO_PICTURE: Kind(ERROR, STOPS),
    ENORMOUS: Kind(ERROR, 'stops, or needs gigabytes'),
    TRUNCATED: Kind(ERROR, 'stops, or reads garbage'),
    TOO_THIN: Kind(ERROR, STOPS),  # nothing is left of it when resized
    WRONG_SIZE: Kind(ERROR, 'boxes lie elsewhere'),
    EXIF_STORED: Kind(ERROR, 'boxes lie elsewhere'),
    EXIF_FITS: Kind(NOTE, 'read rotated'),
    EXIF_UNCLEAR: Kind(NOTE, 'look at it'),
    'one pixel high or wide': Kind(NOTE, 'used'),
    'greyscale': Kind(NOTE, 'read as colour'),
    '16 bit': Kind(NOTE, 'read as 8 bit'),
    'alpha': Kind(NOTE, 'alpha is ignored'),
    'CMYK': Kind(NOTE, 'read as RGB'),
    'palette': Kind(NOTE, 'read as RGB'),
    # copies
    'same bytes as another image': Kind(NOTE, 'used twice'),
    'image is in val too': Kind(ERROR, 'AP on val is too high'),
    'looks like one in val': Kind(NOTE, 'AP on val may be too high'),
}


class Findings:
    """Defects by kind, with the first places of each.

    Args:
        kinds: What differs from :data:`KINDS` with a certain config.
    """

    def __init__(self, kinds: Mapping[str, Kind] | None = None) -> None:
        self._kinds = {**KINDS, **(kinds or {})}
        self._counts: Counter[str] = Counter()
        self._places: dict[str, list[Place]] = {}

    def add(self, kind: str, place: Place) -> None:
        """Count a defect of a kind of :data:`KINDS`."""
        assert kind in self._kinds, kind
        self._counts[kind] += 1
        places = self._places.setdefault(kind, [])
        if len(places) < NUM_PLACES:
            places.append(place)

    def level(self, kind: str) -> str:
        """Return the level of a kind."""
        return self._kinds[kind].level

    def __iter__(self) -> Iterator[Finding]:
        """Yield what was found, the worst level first."""
        for level in LEVELS:
            for name, kind in self._kinds.items():
                if kind.level == level and self._counts[name]:
                    count, places = self._counts[name], self._places[name]
                    yield Finding(name, *kind, count, places)

    @property
    def harmful(self) -> bool:
        """Whether training would drop or misread anything."""
        return any(finding.level != NOTE for finding in self)


def show(value: Any) -> str:
    """Return a value from a file as one short line, safe to print."""
    text = value if isinstance(value, str) else reprlib.repr(value)
    if len(text) > MAX_TEXT:
        text = f'{text[: MAX_TEXT - 1]}…'
    return ''.join(
        char
        if char.isprintable()
        else char.encode('unicode_escape').decode('ascii')
        for char in text
    )
