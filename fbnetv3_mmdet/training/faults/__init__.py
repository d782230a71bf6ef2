"""Parts by which a training survives faults, for any MMDetection config.

They are hooks for ``default_hooks``; ``configs/_base_/default_runtime.py`` has
them all. docs/reliability.md says what each is for, and what was measured.
"""

from .atomic import AtomicLocalBackend
from .checkpointing import DurableCheckpointHook
from .images import WholeImagesHook
from .losses import FiniteLossHook
from .resuming import ExactResumeHook
from .signals import StopOnSignalHook

__all__ = [
    'AtomicLocalBackend',
    'DurableCheckpointHook',
    'ExactResumeHook',
    'FiniteLossHook',
    'StopOnSignalHook',
    'WholeImagesHook',
]
