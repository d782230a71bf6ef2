"""Annotation files in COCO's format, and what training makes of them.

:func:`read_annotations` reads a file that may be hostile, and
:func:`check_annotations` counts its defects into :class:`Findings`, by the
:class:`Rules` that :func:`read_rules` takes from a config. For a training or
a test, :func:`read_contents` refuses a file that would stop it.
"""

from .checking import check_annotations
from .content import Content, Object
from .defects import Defect
from .findings import Finding, Findings, Place, show
from .reading import read_annotations
from .rules import Rules, dataset_rules, read_rules, with_images
from .summary import Contents, describe, read_contents, refuse

__all__ = [
    'Content',
    'Contents',
    'Defect',
    'Finding',
    'Findings',
    'Object',
    'Place',
    'Rules',
    'check_annotations',
    'dataset_rules',
    'describe',
    'read_annotations',
    'read_contents',
    'read_rules',
    'refuse',
    'show',
    'with_images',
]
