"""Reads checkpoint files without running what they may hold.

A pickle calls whatever function it names. ``torch.load(weights_only=True)``
lets it call those that rebuild tensors only. Training checkpoints of MMEngine
also hold logged numbers, for which a few more are allowed here.
"""

from __future__ import annotations

import codecs
import functools
import zipfile
from collections.abc import Callable
from contextlib import nullcontext
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from torch.nn.modules.utils import consume_prefix_in_state_dict_if_present

from ..files import memory_limit

_NUMBERS = '?bhilqBHILQefd'  # NumPy's codes of truth values and real numbers
_WRAPPER = 'module.'
_STATES = ('state_dict', 'model', 'ema_state')  # MMEngine's and D2Go's
_STATISTICS = ('min', 'max', 'mean', 'current')  # methods of HistoryBuffer


def allow_training_checkpoints() -> None:
    """Let ``torch.load(weights_only=True)`` read MMEngine's checkpoints.

    Allows exactly what their pickles name: NumPy's arrays and scalars of
    numbers, and MMEngine's histories of logged values with their statistics.
    """
    torch.serialization.add_safe_globals(_allowed())


def read_checkpoint(path: str, map_location: Any = 'cpu') -> Any:
    """Return what a checkpoint file holds; nothing in it is run.

    Args:
        path (str): A file that ``torch.save`` wrote.
        map_location: As ``torch.load`` takes it.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no whole checkpoint, or holds other things than
            tensors and plain data, which could run code.
    """
    # once more: onedl-mmengine's own loaders take these off torch's list
    allow_training_checkpoints()
    try:
        # a GPU's memory would count too, all that its driver reserves
        on_cpu = str(map_location) == 'cpu'
        with memory_limit() if on_cpu else nullcontext():
            file = torch.load(path, map_location, weights_only=True)
            return _unwrapped(file)
    except FileNotFoundError:
        raise FileNotFoundError(
            f'checkpoint={path!r} does not exist; give the path of a file'
        ) from None
    except OSError:  # the file may be whole, but cannot be reached
        raise
    except UnpicklingError as error:
        # the context is without torch's advice to load it all the same
        raise ValueError(
            f'checkpoint={path!r} is refused, and nothing in it was run: it '
            'holds other things than tensors and plain data '
            f'({_reason(error.__context__ or error)}); use a file of weights '
            'or, if you trust this one, allow what it names with '
            'torch.serialization.add_safe_globals'
        ) from None
    except Exception as error:  # what is broken may raise anything
        raise ValueError(f'checkpoint={path!r} {_fault(error)}') from None


def _unwrapped(file: Any) -> Any:
    """Take the prefix off names that a wrapper such as DDP has put there."""
    if isinstance(file, dict):
        for state in (file, *map(file.get, _STATES)):
            if isinstance(state, dict) and _is_wrapped(state):
                consume_prefix_in_state_dict_if_present(state, _WRAPPER)
    return file


def _is_wrapped(state: dict) -> bool:
    return bool(state) and all(str(k).startswith(_WRAPPER) for k in state)


def check_checkpoint(path: str) -> None:
    """Check that a checkpoint file is whole, to its last byte.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: As for :func:`read_checkpoint`; or a checksum is wrong.
    """
    read_checkpoint(path)
    # which leaves out the checksums
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
        if broken:
            raise ValueError(
                f'checkpoint={path!r} is damaged: wrong checksum of '
                f'{broken!r} in it; download or copy it again'
            )


def _fault(error: Exception) -> str:
    if isinstance(error, MemoryError) or 'allocate memory' in str(error):
        return (
            'is too large for the memory that is free; if you trust it, read '
            'it on a larger machine'
        )
    return (
        f'is not a whole file of torch.save ({_reason(error)}); download or '
        'copy it again'
    )


def _reason(error: BaseException) -> str:
    text = ' '.join(str(error).split()).partition('. ')[0]
    return text.rstrip('.') or type(error).__name__


@functools.cache
def _allowed() -> list[Callable]:
    dtypes = dict.fromkeys(type(np.dtype(code)) for code in _NUMBERS)
    # what NumPy pickles arrays and scalars with; NumPy 2 renamed its module,
    # and files written with either are read with either
    array = np.empty(0).__reduce__()[0]
    scalar = np.float64().__reduce__()[0]
    return [
        HistoryBuffer,
        np.ndarray,
        np.dtype,
        *dtypes,
        codecs.encode,  # of bytes; torch allows it since 2.5
        _named('builtins.getattr', _statistic),
        *(
            _named(f'numpy.{core}.multiarray.{name}', function)
            for core in ('core', '_core')
            for name, function in (('_reconstruct', array), ('scalar', scalar))
        ),
    ]


def _statistic(owner: type, name: str) -> Callable:
    """Do what pickles of histories need ``getattr`` for, and no more."""
    if owner is not HistoryBuffer or name not in _STATISTICS:
        raise UnpicklingError(f'getattr of {name!r} of {owner!r}')
    return getattr(owner, name)


def _named(path: str, function: Callable) -> Callable:
    """Return the function under the name by which pickles call it.

    Only from torch 2.6 on can torch be told such a name.
    """

    def call(*args):
        return function(*args)

    call.__module__, _, call.__name__ = path.rpartition('.')
    call.__qualname__ = call.__name__
    return call
