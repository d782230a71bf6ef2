"""Modules registered in MMDetection's ``MODELS``."""

from .backbone import FBNetV3
from .detector import FBNetV3IS, FBNetV3OD
from .exported import ExportedDetector
from .mask_head import FBNetV3MaskHead
from .roi_extractor import FBNetV3RoIExtractor
from .roi_head import FBNetV3RoIHead
from .rpn_head import FBNetV3RPNHead
from .shared_head import FBNetV3SharedHead

__all__ = [
    'ExportedDetector',
    'FBNetV3',
    'FBNetV3IS',
    'FBNetV3MaskHead',
    'FBNetV3OD',
    'FBNetV3RPNHead',
    'FBNetV3RoIExtractor',
    'FBNetV3RoIHead',
    'FBNetV3SharedHead',
]
