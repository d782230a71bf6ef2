"""What was found wrong with a data set, counted by kinds."""

from __future__ import annotations

import reprlib
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from .defects import DROPPED, ERROR, LEVELS, STOPS, Defect, Kind

NUM_PLACES = 20  # of a kind are kept
NUM_EXAMPLES = 3  # ... and shown
MAX_TEXT = 60  # characters of a text from the files that are shown


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
            about = show(self.about)
            parts.append(f'({about})' if parts else about)
        return ' '.join(parts)


class Finding(NamedTuple):
    """One kind of defect that a data set has."""

    defect: Defect
    level: str
    effect: str
    count: int
    places: list[Place]  # the first :data:`NUM_PLACES`

    @property
    def stops(self) -> bool:
        """Whether a training is refused for it."""
        return self.effect == STOPS

    def text(self, num_places: int = NUM_EXAMPLES) -> str:
        """Return count, words and the first places in one line."""
        places = [str(place) for place in self.places[:num_places]]
        more = ['...'] if self.count > len(places) else []
        where = ', '.join(places + more)
        return f'{self.count} x {self.defect} ({where})'


class Findings:
    """Defects by kind, with the first places of each.

    Args:
        kinds: How bad defects are, where it differs from :class:`Defect`.
    """

    def __init__(self, kinds: Mapping[Defect, Kind] | None = None) -> None:
        self.kinds = {d: d.kind for d in Defect} | dict(kinds or {})
        self._counts: Counter[Defect] = Counter()
        self._places: dict[Defect, list[Place]] = {}

    def add(self, defect: Defect, place: Place) -> None:
        """Count a defect."""
        self._counts[defect] += 1
        places = self._places.setdefault(defect, [])
        if len(places) < NUM_PLACES:
            places.append(place)

    def __iter__(self) -> Iterator[Finding]:
        """Yield what was found, the worst level first."""
        for level in LEVELS:
            for defect, kind in self.kinds.items():
                if kind.level == level and self._counts[defect]:
                    count, places = self._counts[defect], self._places[defect]
                    yield Finding(defect, *kind, count, places)

    @property
    def harmful(self) -> bool:
        """Whether training would drop or misread anything."""
        return any(finding.level in (ERROR, DROPPED) for finding in self)


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
