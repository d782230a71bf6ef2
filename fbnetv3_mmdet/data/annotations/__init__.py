"""Annotation files in COCO's format, and what training makes of them.

:func:`read_annotations` reads a file that may be hostile, and
:func:`check_annotations` counts its defects into :class:`Findings`, by the
:class:`Rules` that :func:`read_rules` takes from a config. For a training or
a test, :func:`read_contents` refuses a file that would stop it.
"""

from .checking import Content, check_annotations
from .findings import Findings
from .reading import read_annotations
from .rules import Rules, read_rules, training_rules
from .summary import Contents, describe, read_contents

__all__ = [
    'Content',
    'Contents',
    'Findings',
    'Rules',
    'check_annotations',
    'describe',
    'read_annotations',
    'read_contents',
    'read_rules',
    'training_rules',
]
