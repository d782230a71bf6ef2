"""Checkpoints of D2Go, timm and MMEngine, for every place that takes one."""

from .fitting import Fit, compare, without_counters
from .names import from_d2go, from_timm, is_extra, to_d2go
from .reading import (
    allow_training_checkpoints,
    check_checkpoint,
    read_checkpoint,
)
from .schemes import load_safely, read_d2go, read_timm, register_schemes
from .zoo import ZOO, Published, fetch

__all__ = [
    'ZOO',
    'Fit',
    'Published',
    'allow_training_checkpoints',
    'check_checkpoint',
    'compare',
    'fetch',
    'from_d2go',
    'from_timm',
    'is_extra',
    'load_safely',
    'read_checkpoint',
    'read_d2go',
    'read_timm',
    'register_schemes',
    'to_d2go',
    'without_counters',
]
