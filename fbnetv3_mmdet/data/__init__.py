"""Data sets of files in COCO's format, and of drawn digits; pictures."""

from .coco import CheckedCocoDataset, CheckedCocoMetric
from .digits import DigitScenes
from .pictures import MAX_PIXELS, BrokenPicture, LoadWholePicture

__all__ = [
    'MAX_PIXELS',
    'BrokenPicture',
    'CheckedCocoDataset',
    'CheckedCocoMetric',
    'DigitScenes',
    'LoadWholePicture',
]
