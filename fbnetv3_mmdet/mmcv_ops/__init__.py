"""The stand-in for mmcv's compiled ops, over torchvision's kernels."""

from .register import register_ops

__all__ = ['register_ops']
