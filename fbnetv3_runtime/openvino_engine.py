"""Networks in OpenVINO."""

from __future__ import annotations

import threading
from functools import cache
from typing import Any

import numpy as np

from .engine import DeviceError, Engine, Run, share
from .metadata import KEY, OUTPUTS

# As many sizes of images it remembers plans for; else it keeps those of
# thousands, some 2 MB for each.
SIZES = '8'

_LOCK = threading.Lock()
_BEGAN = threading.Event()  # a first inference is over


def load(
    model: str | bytes, engine: Engine
) -> tuple[Run, list[str], str | None]:
    """Load a network.

    Args:
        model: Path of the ONNX file, or its bytes.
        engine: How it is run.

    Returns:
        tuple: What runs it, the names of its outputs, and its metadata.

    Raises:
        DeviceError: The device is not there.
        Exception: What the engine raises, where the file is wrong.
    """
    core = _core()
    device = engine.device.upper().replace(':', '.')
    installed = [*core.available_devices, 'AUTO']
    if device not in installed:
        raise DeviceError(
            f'device={engine.device!r} is none that OpenVINO finds here, '
            f'which are {installed}; choose one of these, or install its '
            'driver'
        )
    network = core.read_model(model)
    place = ['framework', KEY]
    metadata = None
    if network.has_rt_info(place):
        metadata = network.get_rt_info(place).astype(str)
    compiled = core.compile_model(network, device, _config(engine))
    # an output may have other names too, of what it is computed from
    names = [
        min(output.get_names() & OUTPUTS or output.get_names())
        for output in compiled.outputs
    ]

    def in_request(request: Any) -> Run:
        def run(pixels: np.ndarray) -> dict[str, np.ndarray]:
            found = _infer(request, pixels).values()
            return dict(zip(names, found, strict=True))

        return run

    # a request holds one image's results: no two threads have the same
    requests = [compiled.create_infer_request() for _ in range(engine.slots)]
    return share(map(in_request, requests)), names, metadata


def _config(engine: Engine) -> dict[str, Any]:
    config: dict[str, Any] = {'PERFORMANCE_HINT': 'LATENCY'}
    if engine.device.lower() != 'cpu':
        return config
    # without a hint some machines calculate with 16 bits
    config['INFERENCE_PRECISION_HINT'] = 'f32'
    config['CPU_RUNTIME_CACHE_CAPACITY'] = SIZES
    if engine.threads:
        config['NUM_STREAMS'] = engine.slots
        config['INFERENCE_NUM_THREADS'] = engine.threads * engine.slots
    return config


def _infer(request: Any, pixels: np.ndarray) -> Any:
    """Infer; the first time in this process, nobody else does.

    OpenVINO's binding looks numpy up then, once. Where two threads do at the
    same time, each waits for the other for ever (OpenVINO 2026.4).
    """
    if _BEGAN.is_set():
        return request.infer([pixels])
    with _LOCK:
        found = request.infer([pixels])
        _BEGAN.set()
        return found


def _core() -> Any:
    """Return the core of this process."""
    with _LOCK:
        return _make_core()


@cache
def _make_core() -> Any:
    """Return a core that lives as long as the process.

    A core gives signal handlers a stack. Where two go in the order they came,
    the second restores the freed stack of the first, and the next signal with
    a handler, such as Ctrl-C, ends the process (OpenVINO 2026.4).
    """
    import openvino

    return openvino.Core()
