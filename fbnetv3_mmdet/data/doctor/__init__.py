"""The data doctor: what training would make of a data set.

:func:`read_rules` takes from a config what decides that, and package
:mod:`fbnetv3_mmdet.data.annotations` counts the defects of a file into
:class:`Findings`, as it does for a training. :func:`examine` does all of it,
opens the pictures and compares the boxes with a config's anchors and pooler.
"""

from ..annotations import (
    Content,
    Findings,
    Rules,
    check_annotations,
    read_annotations,
    read_rules,
)
from .anchors import better_fit, fit_anchors, pooler_shares, scale_boxes
from .drawing import draw_defects
from .duplicates import check_leaks, check_names, check_twins, find_leaks
from .examining import Report, examine
from .figures import plot_boxes
from .pictures import check_files, check_pictures, inspect_all
from .report import make_report, render, render_findings

__all__ = [
    'Content',
    'Findings',
    'Report',
    'Rules',
    'better_fit',
    'check_annotations',
    'check_files',
    'check_leaks',
    'check_names',
    'check_pictures',
    'check_twins',
    'draw_defects',
    'examine',
    'find_leaks',
    'fit_anchors',
    'inspect_all',
    'make_report',
    'plot_boxes',
    'pooler_shares',
    'read_annotations',
    'read_rules',
    'render',
    'render_findings',
    'scale_boxes',
]
