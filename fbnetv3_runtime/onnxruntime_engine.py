"""Networks in ONNX Runtime."""

from __future__ import annotations

import numpy as np

from .engine import DeviceError, Engine, Run, share
from .metadata import KEY

END = 'ExecutionProvider'
OTHER_NAMES = {'directml': 'dml'}


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
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = engine.threads or 0
    options.log_severity_level = 4  # errors are raised, too
    # else the threads, waiting for another image, slow others' down
    options.add_session_config_entry('session.force_spinning_stop', '1')
    providers = _find_providers(engine.device)
    session = onnxruntime.InferenceSession(
        model,
        options,
        providers=providers,
        enable_fallback=0,  # it would print, and try the same again
    )
    if session.get_providers()[0] != providers[0][0]:
        raise DeviceError(
            f'device={engine.device!r}: {providers[0][0]} does not start on '
            'this machine; install its drivers and libraries, or leave the '
            'device out for the CPU'
        )
    names = [output.name for output in session.get_outputs()]
    image = session.get_inputs()[0].name

    def run(pixels: np.ndarray) -> dict[str, np.ndarray]:
        found = session.run(names, {image: pixels})
        return dict(zip(names, found, strict=True))

    metadata = session.get_modelmeta().custom_metadata_map.get(KEY)
    return share([run] * engine.slots), names, metadata


def _find_providers(device: str) -> list[tuple[str, dict]]:
    """Return ONNX Runtime's providers for a device, the CPU's the last.

    Raises:
        DeviceError: None that is installed is for this device.
    """
    import onnxruntime

    installed = {
        name.removesuffix(END).lower(): name
        for name in onnxruntime.get_available_providers()
        if not name.startswith('Azure')  # runs nothing itself
    }
    kind, _, number = device.lower().partition(':')
    kind = OTHER_NAMES.get(kind, kind)
    if kind not in installed:
        raise DeviceError(
            f'device={device!r} is none of the installed ONNX Runtime, which '
            f'has {[*installed]}; choose one of these, or install the '
            "package that has it, such as onnxruntime-gpu for 'cuda'"
        )
    options = {'device_id': number} if number else {}
    kinds = ['tensorrt', 'cuda'] if kind == 'tensorrt' else [kind]
    chosen = [(installed[k], options) for k in kinds if k in installed]
    return chosen if kind == 'cpu' else [*chosen, (f'CPU{END}', {})]
