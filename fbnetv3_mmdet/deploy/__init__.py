"""From a checkpoint to one file that runs without PyTorch, and its speed."""

try:
    import onnx  # noqa: F401
    import onnxruntime  # noqa: F401
    import onnxscript  # noqa: F401
except ModuleNotFoundError as error:
    raise ImportError(
        f'fbnetv3_mmdet.deploy needs {error.name!r}, which is missing: '
        'pip install "mmdet-fbnetv3[deploy]"'
    ) from error

from .int8 import quantize_file
from .latency import Latency, in_turns, latency, prepare
from .verify import ExportReport, export_verified

__all__ = [
    'ExportReport',
    'Latency',
    'export_verified',
    'in_turns',
    'latency',
    'prepare',
    'quantize_file',
]
