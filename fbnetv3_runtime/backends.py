"""The engines that run an exported file, and what the file says of itself."""

from __future__ import annotations

import importlib
import json
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

import numpy as np

from .texts import name_of, one_line

Run = Callable[[np.ndarray], dict[str, np.ndarray]]
Load = Callable[[str, int | None], tuple[Run, str | None]]

KEY = 'fbnetv3'  # of the metadata in a file
FORMAT = 1  # of the metadata
OUTPUTS = {'boxes', 'scores', 'labels', 'masks'}
MAX_SIDE = 8192  # px, of a network's input
REMEDY = 'give a file that tools/export.py wrote; if damaged, copy it again'


def load_model(
    model: str | os.PathLike,
    backend: str | None = None,
    threads: int | None = None,
) -> tuple[Run, dict]:
    """Load an exported file.

    Args:
        model: Path of the ONNX file.
        backend: A name in ``BACKENDS``; None: the first that is installed.
        threads: Threads of the CPU to use; None: the backend's choice.

    Returns:
        tuple: A function from an image, uint8 (1, height, width, 3), to the
        network's outputs by name, which any number of threads may call at
        the same time; and the file's metadata.

    Raises:
        ValueError: The file is missing, damaged or from elsewhere.
        ImportError: The backend is not installed.
    """
    if not isinstance(model, str | os.PathLike):
        raise ValueError(
            f'a model of type {type(model).__name__} is no path; {REMEDY}'
        )
    load = _find_backend(backend)
    try:
        with open(model, 'rb'):  # a missing file has one message
            pass
        run, metadata = load(os.fspath(model), threads)
        if metadata is None:
            raise ValueError(f'it has no metadata of the name {KEY}')
        return run, _check_metadata(json.loads(metadata))
    except MemoryError:
        raise
    except Exception as error:  # each backend has its own kinds
        raise ValueError(
            f'{name_of(model)} is no exported FBNetV3 detector: '
            f'{one_line(error)}; {REMEDY}'
        ) from error


def read_metadata(model: str | os.PathLike) -> dict:
    """Return what an exported file says of itself.

    Raises:
        ValueError: The file is missing, damaged or from elsewhere.
        ImportError: No backend is installed.
    """
    return load_model(model, threads=1)[1]


def _check_metadata(metadata: dict) -> dict:
    """Return metadata that has what this module reads."""
    number = metadata.get('format') if isinstance(metadata, dict) else None
    if number != FORMAT:
        raise ValueError(
            f'its metadata has format {number!r}, and this fbnetv3_runtime '
            f'reads {FORMAT}'
        )
    try:
        resize, size = metadata['resize'], metadata['size'] or [1, 1]
        sides = [*resize['scale'], *size]
        right = (
            type(metadata['classes']) is list
            and {type(name) for name in metadata['classes']} == {str}
            and resize['keep_ratio'] is True
            and [len(resize['scale']), len(size)] == [2, 2]
            and all(type(s) is int and 0 < s <= MAX_SIDE for s in sides)
            and len(metadata['mean']) == 3
            and all(0 <= value <= 255 for value in metadata['mean'])
            and 0 <= (metadata['mask_thr'] or 0) <= 1
            and metadata['score_thr'] <= 1
        )
    except (KeyError, TypeError):
        right = False
    if not right:
        raise ValueError('its metadata is damaged')
    return metadata


def _load_onnxruntime(
    model: str, threads: int | None
) -> tuple[Run, str | None]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.log_severity_level = 4  # errors are raised, too
    # else the threads, waiting for another image, slow others' down
    options.add_session_config_entry('session.force_spinning_stop', '1')
    session = onnxruntime.InferenceSession(
        model,
        options,
        providers=['CPUExecutionProvider'],
        enable_fallback=0,  # it would print, and try the same again
    )
    names = [output.name for output in session.get_outputs()]

    def run(image: np.ndarray) -> dict[str, np.ndarray]:
        found = session.run(names, {'image': image})
        return dict(zip(names, found, strict=True))

    return run, session.get_modelmeta().custom_metadata_map.get(KEY)


def _load_openvino(model: str, threads: int | None) -> tuple[Run, str | None]:
    # without a hint some machines calculate with 16 bits
    config = {'PERFORMANCE_HINT': 'LATENCY', 'INFERENCE_PRECISION_HINT': 'f32'}
    if threads:
        config['INFERENCE_NUM_THREADS'] = threads
    network = _openvino_core().read_model(model)
    place = ['framework', KEY]
    metadata = None
    if network.has_rt_info(place):
        metadata = network.get_rt_info(place).astype(str)
    compiled = _openvino_core().compile_model(network, 'CPU', config)
    # an output may have other names too, of what it is computed from
    names = [
        min(output.get_names() & OUTPUTS or output.get_names())
        for output in compiled.outputs
    ]
    own = threading.local()  # a request that threads share mixes up images

    def run(image: np.ndarray) -> dict[str, np.ndarray]:
        if not hasattr(own, 'request'):
            own.request = compiled.create_infer_request()
        found = own.request.infer({'image': image}).values()
        return dict(zip(names, found, strict=True))

    return run, metadata


@cache
def _openvino_core() -> Any:
    """Return the core of this process, which lives as long.

    A core gives signal handlers a stack. Where two go in the order they came,
    the second restores the freed stack of the first, and the next signal with
    a handler, such as Ctrl-C, ends the process (OpenVINO 2026.4).
    """
    import openvino

    return openvino.Core()


BACKENDS: dict[str, Load] = {
    'onnxruntime': _load_onnxruntime,
    'openvino': _load_openvino,
}


def _find_backend(name: str | None) -> Load:
    """Return what loads a model into a backend that is installed."""
    if name not in (None, *BACKENDS):
        raise ValueError(
            f'backend={name!r} is unknown; choose one of {[*BACKENDS]}'
        )
    names = [name] if name else [*BACKENDS]
    for candidate in names:
        with suppress(ImportError):
            importlib.import_module(candidate)
            return BACKENDS[candidate]
    raise ImportError(
        f'{" or ".join(names)} is missing: pip install {names[0]}'
    )
