"""An exported detector in 8-bit integers."""

from .files import quantize_file
from .report import FileFigures, Report

__all__ = ['FileFigures', 'Report', 'quantize_file']
