"""The engines that run an exported file."""

from __future__ import annotations

import importlib
import os
from contextlib import suppress
from types import ModuleType
from typing import BinaryIO

from . import onnxruntime_engine, openvino_engine
from .engine import DeviceError, Engine, Run
from .metadata import parse_metadata
from .split import join
from .texts import name_of, one_line

Model = str | os.PathLike | bytes | BinaryIO

BACKENDS: dict[str, ModuleType] = {
    'onnxruntime': onnxruntime_engine,
    'openvino': openvino_engine,
}
ALWAYS = {'boxes', 'scores', 'labels'}  # outputs of every detector
REMEDY = 'give a file that tools/export.py wrote; if damaged, copy it again'


def load_model(
    model: Model,
    backend: str | None = None,
    engine: Engine | None = None,
    name: str | None = None,
) -> tuple[Run, dict]:
    """Load an exported file.

    Args:
        model: Path of the ONNX file, its bytes, or a file that is open.
        backend: A name in ``BACKENDS``; None: the first that is installed.
        engine: How it is run; None: by one thread of the CPU.
        name: Of the model, in messages; None: what was given.

    Returns:
        tuple: A function from images, uint8 (N, height, width, 3), to the
        network's outputs by name, which any number of threads may call at
        the same time; and the file's metadata.

    Raises:
        ValueError: The file is missing, damaged or from elsewhere, or the
            device is not there.
        ImportError: The backend is not installed.
    """
    content = read_content(model)
    load = BACKENDS[find_backend(backend)].load
    try:
        if not isinstance(content, bytes):
            with open(model, 'rb'):  # a missing file has one message
                pass
        engine = engine or Engine(1, 1)
        run, names, text = load(content, engine)
        metadata = parse_metadata(text)
        if 'split' in metadata:
            regions, *_ = load(_second_of(content), engine)
            run = join(run, regions, metadata['split'])
        elif not ALWAYS.issubset(names):
            raise ValueError(f'it gives {sorted(names)}')
        return run, metadata
    except (MemoryError, DeviceError):
        raise
    except Exception as error:  # each backend has its own kinds
        raise ValueError(
            f'{name or name_of(model)} is no exported FBNetV3 detector: '
            f'{one_line(error)}; {REMEDY}'
        ) from error


def second_file(path: str | os.PathLike) -> str:
    """Return the path of the second file of a detector in two."""
    stem, suffix = os.path.splitext(os.fspath(path))
    return f'{stem}.regions{suffix}'


def _second_of(content: str | bytes) -> str:
    if isinstance(content, bytes):
        raise ValueError('it has a second file; give the path of the first')
    path = second_file(content)
    with open(path, 'rb'):
        pass
    return path


def read_content(model: Model) -> str | bytes:
    """Return the path of a model, absolute, or its bytes.

    Raises:
        ValueError: It is neither.
    """
    if isinstance(model, bytes):
        return model
    if isinstance(model, str | os.PathLike):
        return os.path.abspath(model)
    if hasattr(model, 'read'):
        return model.read()
    raise ValueError(
        f'a model of type {type(model).__name__} is no path, nor bytes; '
        f'{REMEDY}'
    )


def find_backend(name: str | None) -> str:
    """Return the name of a backend that is installed."""
    if name not in (None, *BACKENDS):
        raise ValueError(
            f'backend={name!r} is unknown; choose one of {[*BACKENDS]}'
        )
    names = [name] if name else [*BACKENDS]
    for candidate in names:
        with suppress(ImportError):
            importlib.import_module(candidate)
            return candidate
    raise ImportError(
        f'{" or ".join(names)} is missing: pip install {names[0]}'
    )
