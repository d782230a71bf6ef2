"""Datasets that need no download, and the reading of pictures."""

from .digits import DigitScenes
from .pictures import MAX_PIXELS, BrokenPicture, LoadWholePicture

__all__ = ['MAX_PIXELS', 'BrokenPicture', 'DigitScenes', 'LoadWholePicture']
