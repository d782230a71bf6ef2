"""The stand-in for mmcv's compiled ops, over torchvision's kernels."""

from .register import load_kernels, register_ops

__all__ = ['load_kernels', 'register_ops']
