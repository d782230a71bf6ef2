"""What can be wrong with a data set, and what training makes of it.

One file is judged once, for training, evaluation, the doctor and int8 alike,
as :class:`.CheckedCocoDataset` takes it. What MMDetection's own types were
measured to do instead is in :mod:`.rules`.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

ERROR = 'error'  # training stops, or learns something else than was meant
DROPPED = 'dropped'  # training leaves it out
WARNING = 'warning'  # training uses it, and not as it is written
NOTE = 'note'  # training uses it as it is
LEVELS = (ERROR, DROPPED, WARNING, NOTE)

STOPS = 'training stops'
LEFT_OUT = 'left out'
ASIDE = 'set aside, as crowds are'
ELSEWHERE = 'boxes lie elsewhere'
TWICE = 'counts as two objects'

CORRECT = 'correct the file'
FIX = 'tools/check_dataset.py --fix OUT.json writes a file that is right'
CONVERT = (
    'tools/check_dataset.py --fix OUT.json --boxes xyxy writes a file with '
    '[x, y, width, height] in pixels'
)


class Kind(NamedTuple):
    """How bad a defect is."""

    level: str
    effect: str  # what training makes of it


class Defect(Enum):
    """A kind of defect.

    Attributes:
        words: What it is, in words.
        kind: How bad it is where a config does not say otherwise.
        remedy: What to do where it stops a training.
    """

    # images
    IMAGE_ENTRY = 'image entry of a wrong type', ERROR, STOPS
    IMAGE_ID_TWICE = 'duplicate image id', ERROR, STOPS
    MIXED_IDS = 'image ids that are numbers and others', ERROR, STOPS, FIX
    NO_NAME = 'missing file name', ERROR, STOPS
    SAME_NAME = 'duplicate file name', ERROR, "each lacks the others' boxes"
    NAME_LEAVES = 'file name leaves the folder', ERROR, 'another file is read'
    NO_SIZE = 'image without width and height', WARNING, "the file's are taken"
    SMALL_IMAGE = 'image below min_size', DROPPED, LEFT_OUT
    NO_OBJECTS = 'image without objects', NOTE, 'used as background'
    ONLY_IGNORED = (
        'image with only ignored objects',
        NOTE,
        'used as background',
    )
    NONE_USABLE = (
        'image of whose objects none is usable',
        ERROR,
        'objects are learnt as background',
    )
    # categories
    CATEGORY_ENTRY = 'category entry of a wrong type', ERROR, STOPS
    CATEGORY_ID_TWICE = 'duplicate category id', ERROR, STOPS
    SAME_CATEGORY = 'duplicate category name', WARNING, 'taken as one class'
    GAPS = 'category ids with gaps', NOTE, 'used'
    # annotations
    ENTRY = 'annotation entry of a wrong type', ERROR, STOPS
    ID_TWICE = 'duplicate annotation id', ERROR, STOPS
    TEXT_ID = 'annotation id that is no number', NOTE, 'used'
    ZERO_ID = 'annotation id 0', NOTE, 'used'
    IMAGE_AS_TEXT = (
        'annotation whose image_id is text where ids are numbers, or a '
        'number where they are text',
        ERROR,
        STOPS,
        FIX,
    )
    CATEGORY_AS_TEXT = (
        'annotation whose category_id is text where ids are numbers, or a '
        'number where they are text',
        ERROR,
        STOPS,
        FIX,
    )
    UNKNOWN_IMAGE = 'unknown image id', DROPPED, LEFT_OUT
    UNKNOWN_CATEGORY = 'unknown category id', DROPPED, LEFT_OUT
    OTHER_CLASS = 'class that the config lacks', DROPPED, LEFT_OUT
    CROWD = 'crowd', NOTE, 'no object to find'
    CROWDS = (
        'objects of which many are crowds',
        ERROR,
        'not learnt, nor found missing',
        'where crowds are single objects, as brush masks of CVAT are, '
        'tools/check_dataset.py --fix OUT.json --brush-masks makes them that',
    )
    BAD_CROWD = 'iscrowd that is neither 0 nor 1', ERROR, STOPS
    NO_CROWD = 'annotation without iscrowd', WARNING, '0 is taken'
    IGNORED = 'object with ignore', NOTE, 'left out, as it says'
    # boxes
    BAD_BOX = 'box that is not four numbers', ERROR, STOPS
    NAN_BOX = 'box with NaN', DROPPED, LEFT_OUT
    INFINITE_BOX = 'infinite box', ERROR, STOPS
    EMPTY_BOX = 'box of zero or negative size', DROPPED, LEFT_OUT
    SMALL_BOX = 'box under one pixel', DROPPED, LEFT_OUT
    OUTSIDE = 'box outside its image', DROPPED, LEFT_OUT
    PARTLY = 'box partly outside its image', NOTE, 'cut to the image'
    CORNERS = (
        'box of corners x1, y1, x2, y2 in place of x, y, width, height',
        ERROR,
        STOPS,
        CONVERT,
    )
    FRACTIONS = (
        'box in fractions of the image in place of pixels',
        ERROR,
        STOPS,
        FIX,
    )
    SAME_BOX = 'duplicate box', ERROR, TWICE
    NEAR_BOX = 'nearly the same box twice', NOTE, TWICE
    NO_AREA = 'annotation without area', WARNING, "the box's is taken"
    ZERO_AREA = 'area of zero or less', WARNING, "the box's is taken"
    NAN_AREA = 'area that is NaN or infinite', WARNING, "the box's is taken"
    # masks
    NO_MASK = 'object without segmentation', NOTE, 'no masks'
    NO_POLYGON = 'polygon of too few points', NOTE, 'only masks would suffer'
    ODD_POLYGON = 'polygon of odd length', NOTE, 'only masks would suffer'
    PART_POLYGON = (
        'broken polygon beside good ones',
        NOTE,
        'only masks would suffer',
    )
    FLAT_POLYGON = (
        'polygon that is not in a list of polygons',
        NOTE,
        'only masks would suffer',
    )
    BAD_MASK = 'segmentation of a wrong type', NOTE, 'only masks would suffer'
    WILD_MASK = (
        'segmentation that does not fit its image',
        NOTE,
        'only masks would suffer',
    )
    RLE_MASK = 'run-length mask, not polygons', NOTE, 'only masks would suffer'
    # what they add up to
    UNLABELLED = 'file without annotations', ERROR, 'cannot be evaluated'
    NOTHING = 'file without a usable object', ERROR, STOPS
    EMPTY_CLASS = (
        'class without a usable object',
        ERROR,
        STOPS,
        'leave it out of metainfo.classes, or give objects of it',
    )
    # pictures
    MISSING = (
        'missing file',
        ERROR,
        STOPS,
        'give the folder that the file names start from, or take out of the '
        'annotation file what does not exist',
    )
    SPELLING = 'missing file that has another spelling', ERROR, STOPS, FIX
    EMPTY = 'empty file', ERROR, STOPS
    NO_PICTURE = 'not an image', ERROR, STOPS
    ENORMOUS = 'enormous picture', ERROR, 'stops, or needs gigabytes'
    TRUNCATED = 'truncated picture', ERROR, 'stops, or reads garbage'
    TOO_THIN = 'thinner than 1 to 500', ERROR, STOPS  # resized, none is left
    WRONG_SIZE = 'size differs from the JSON', ERROR, ELSEWHERE
    EXIF_STORED = 'EXIF-rotated, JSON fits the stored size', ERROR, ELSEWHERE
    EXIF_FITS = 'EXIF-rotated, JSON fits what is read', NOTE, 'read rotated'
    EXIF_UNCLEAR = 'EXIF-turned, the size does not tell', NOTE, 'look at it'
    ONE_PIXEL = 'one pixel high or wide', NOTE, 'used'
    GREY = 'greyscale', NOTE, 'read as colour'
    DARK = (
        '16 bit of which few are used',
        ERROR,
        'nearly black; scaled by default_hooks.whole_images.brightest=4095',
    )
    DARK_COLOR = (
        'colours of 16 bit of which few are used',
        ERROR,
        'nearly black; save them in 8 bits',
    )
    DEEP = '16 bit', NOTE, 'read as 8 bit'
    ALPHA = 'alpha', NOTE, 'alpha is ignored'
    CMYK = 'CMYK', NOTE, 'read as RGB'
    PALETTE = 'palette', NOTE, 'read as RGB'
    # copies
    SAME_BYTES = 'same bytes as another image', NOTE, 'used twice'
    IN_VAL = 'image is in val too', ERROR, 'AP on val is too high'
    LIKE_VAL = 'looks like one in val', NOTE, 'AP on val may be too high'

    def __init__(
        self, words: str, level: str, effect: str, remedy: str = ''
    ) -> None:
        self.words = words
        self.kind = Kind(level, effect)
        self.remedy = remedy or (FIX if level == WARNING else CORRECT)

    def __str__(self) -> str:
        """Return what it is, in words."""
        return self.words
