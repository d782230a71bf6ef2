"""Registers a stand-in for ``mmcv._ext``, mmcv's compiled ops.

Building that extension takes a compiler and the right torch; without it
``mmcv.ops``, and so MMDetection, cannot be imported. The stand-in itself is
:mod:`fbnetv3_mmdet.mmcv_ops.ext`.
"""

import ast
import functools
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import mmcv
import torch  # noqa: F401  before mmcv._ext, which links its libraries
from mmengine.logging import print_log

from . import ext

_NAME = 'mmcv._ext'


@functools.cache
def register_ops() -> None:
    """Make ``mmcv.ops`` importable, and log whose ops it calls.

    A compiled extension that loads is left as it is. Otherwise the stand-in
    takes its place; an op that it lacks raises a RuntimeError when called.
    Further calls do nothing.
    """
    try:
        importlib.import_module(_NAME)
    except (ImportError, OSError) as error:  # absent, or for another torch
        sys.modules[_NAME] = mmcv._ext = ext
        _repeat_failed_imports()
        reason = str(error).partition('\n')[0]
        owner = f"torchvision's kernels, as {_NAME} does not load ({reason})"
    else:
        owner = f"mmcv's compiled extension, {_NAME}"
    print_log(f'mmcv.ops uses {owner}', logger='current')


def load_kernels() -> None:
    """Import torchvision, whose kernels the stand-in calls.

    It loads torch's compiler, which takes a second or two, and cannot be
    imported while a model is traced: what builds a model calls this.
    """
    importlib.import_module('torchvision')


def _repeat_failed_imports() -> None:
    """Give the modules of MMDetection already loaded the ops they missed.

    onedl-mmdetection catches the ImportError of ``from mmcv.ops import nms``
    and defines an ``nms`` that raises. Whatever was imported before this
    package, by ``from mmdet.apis import init_detector`` say, still has it.
    """
    for name, module in list(sys.modules.items()):
        if name.startswith('mmdet.') and getattr(module, '__file__', None):
            for line in _optional_imports(Path(module.__file__)):
                source = importlib.import_module(line.module)
                for alias in line.names:
                    op = getattr(source, alias.name)
                    setattr(module, alias.asname or alias.name, op)


def _optional_imports(path: Path) -> Iterator[ast.ImportFrom]:
    """Yield the imports from ``mmcv.ops`` that ``path`` makes in a try."""
    for block in ast.parse(path.read_bytes()).body:
        for line in block.body if isinstance(block, ast.Try) else ():
            is_import = isinstance(line, ast.ImportFrom)
            if is_import and f'{line.module}.'.startswith('mmcv.ops.'):
                yield line
