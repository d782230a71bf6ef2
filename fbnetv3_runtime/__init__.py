"""Run a detector that ``tools/export.py`` wrote, without PyTorch.

This folder needs numpy, Pillow and onnxruntime or openvino, and can be copied
to a device:

    from fbnetv3_runtime import Detector

    found = Detector('model.onnx').predict('photo.jpg')
    for box, score, name in zip(found.boxes, found.scores, found.names):
        print(box, score, name)

``python -m fbnetv3_runtime --help`` tells of the command. A detector may be
used by several threads at the same time.
"""

from .backends import BACKENDS, load_model
from .detector import Detector
from .drawing import draw
from .engine import MAX_THREADS
from .images import SUFFIXES, read_image
from .masks import Mask, encode_mask
from .metadata import MAX_SIDE
from .results import Result

__all__ = [
    'BACKENDS',
    'Detector',
    'MAX_SIDE',
    'MAX_THREADS',
    'Mask',
    'Result',
    'SUFFIXES',
    'draw',
    'encode_mask',
    'read_image',
    'read_metadata',
]


def read_metadata(model) -> dict:
    """Return what an exported file says of itself.

    Args:
        model: As for :class:`Detector`.

    Raises:
        ValueError: The file is missing, damaged or from elsewhere.
        ImportError: No backend is installed.
    """
    return load_model(model)[1]
