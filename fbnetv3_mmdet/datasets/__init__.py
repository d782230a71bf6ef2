"""Datasets that need no download."""

from .digits import DigitScenes

__all__ = ['DigitScenes']
