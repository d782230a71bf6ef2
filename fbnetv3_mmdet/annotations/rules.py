"""How training takes images and annotations, as far as a config decides."""

from __future__ import annotations

from typing import NamedTuple

from .findings import (
    BAD_MASK,
    DROPPED,
    ERROR,
    LEFT_OUT,
    NO_MASK,
    NO_OBJECTS,
    NO_POLYGON,
    ODD_POLYGON,
    PART_POLYGON,
    STOPS,
    Kind,
)


class Rules(NamedTuple):
    """What training with a config does with images and annotations."""

    classes: tuple[str, ...] | None = None  # None: those of the file
    filter_empty: bool = False  # leaves out images without objects
    min_size: float = 0  # px: leaves out smaller images
    with_mask: bool = False  # reads segmentations
    polygons: bool = False  # ... and only polygons

    @property
    def kinds(self) -> dict[str, Kind]:
        """What differs from the table of kinds."""
        kinds = {}
        if self.filter_empty:
            kinds[NO_OBJECTS] = Kind(DROPPED, LEFT_OUT)
        if self.with_mask:
            for kind in (NO_POLYGON, ODD_POLYGON, PART_POLYGON):
                kinds[kind] = Kind(DROPPED, LEFT_OUT)
            kinds[BAD_MASK] = Kind(ERROR, 'stops, or is left out')
            kinds[NO_MASK] = Kind(ERROR, STOPS)
        return kinds
