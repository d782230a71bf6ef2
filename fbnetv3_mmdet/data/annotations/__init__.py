"""Annotation files in COCO's format, and what training makes of them.

:func:`read_annotations` reads a file that may be hostile, and
:func:`check_annotations` counts its defects into :class:`Findings`, for a
training or a test before it begins, and for the data doctor.
"""

from .checking import Content, check_annotations
from .findings import Findings
from .reading import read_annotations
from .rules import Rules

__all__ = [
    'Content',
    'Findings',
    'Rules',
    'check_annotations',
    'read_annotations',
]
