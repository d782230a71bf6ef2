"""What a config can name: importing this fills MMDetection's registries."""

try:
    import mmdet  # noqa: F401
except ModuleNotFoundError as error:
    raise ImportError(
        f'fbnetv3_mmdet needs MMDetection, and {error.name!r} is missing: '
        'pip install "mmdet-fbnetv3[onedl]"'
    ) from error

from .lazy import deferred, without_remarks
from .mmcv_ops import register_ops

register_ops()  # before anything imports mmcv.ops

# MMDetection imports them for lane detection, tracking and pictures of errors:
# half of the time until a tool begins.
PACKAGES = (
    'imagecorruptions',
    'imgaug',
    'matplotlib',
    'pandas',
    'scipy',
    'sklearn',
)

with deferred(*PACKAGES), without_remarks():
    from .checkpoints import register_schemes
    from .data import DigitScenes
    from .models import (
        ExportedDetector,
        FBNetV3,
        FBNetV3IS,
        FBNetV3MaskHead,
        FBNetV3OD,
        FBNetV3RoIExtractor,
        FBNetV3RoIHead,
        FBNetV3RPNHead,
        FBNetV3SharedHead,
    )
    from .models.norms import NaiveSyncBN
    from .training.ema import D2GoEMA, D2GoEMAHook
    from .training.faults import (
        DurableCheckpointHook,
        ExactResumeHook,
        FiniteLossHook,
        StopOnSignalHook,
        WholeImagesHook,
    )
    from .training.hooks import (
        ChannelsLastHook,
        CheckSettingsHook,
        PauseHook,
        PinnedMemoryHook,
        ReuseMemoryHook,
    )

register_schemes()

__all__ = [
    'ChannelsLastHook',
    'CheckSettingsHook',
    'D2GoEMA',
    'D2GoEMAHook',
    'DigitScenes',
    'ExportedDetector',
    'DurableCheckpointHook',
    'ExactResumeHook',
    'FBNetV3',
    'FBNetV3IS',
    'FBNetV3MaskHead',
    'FBNetV3OD',
    'FBNetV3RPNHead',
    'FBNetV3RoIExtractor',
    'FBNetV3RoIHead',
    'FBNetV3SharedHead',
    'FiniteLossHook',
    'NaiveSyncBN',
    'PauseHook',
    'PinnedMemoryHook',
    'ReuseMemoryHook',
    'StopOnSignalHook',
    'WholeImagesHook',
]
