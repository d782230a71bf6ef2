"""FBNetV3's detectors: architecture, norm and width set once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmdet.models.detectors import TwoStageDetector
from mmdet.registry import MODELS

from ..archs import Arch, trunk_features

ARCH_PARTS = (  # the types that are built of an architecture's rows
    'FBNetV3',
    'FBNetV3RPNHead',
    'FBNetV3SharedHead',
    'FBNetV3MaskHead',
)
SHARED = ('arch', 'norm_cfg', 'width')  # what a detector hands to its parts


@MODELS.register_module()
class FBNetV3OD(TwoStageDetector):
    """The FBNetV3 object detector: a Faster R-CNN of one architecture.

    ``arch``, ``norm_cfg`` and ``width`` are set once, here. A part that has
    a value of its own keeps it. Where there is a neck, it takes the channels
    of the backbone's features, and the heads take the neck's.

    Args:
        arch (str | dict): Architecture of the backbone and of all heads: a
            name, a dict of rows, or the path of a JSON file of rows (see
            :func:`fbnetv3_mmdet.archs.get_arch`).
        norm_cfg (dict): Norm of every block: BN, SyncBN, NaiveSyncBN or GN.
        width (float): Multiplier of all channels (D2Go's SCALE_FACTOR).
        backbone (dict): Config of the backbone.
        **parts: ``neck``, ``rpn_head``, ``roi_head``, ``train_cfg``,
            ``test_cfg``, ``data_preprocessor`` and ``init_cfg`` of
            MMDetection's ``TwoStageDetector``.

    Raises:
        ValueError: A setting of a part is unknown or out of range.

    Source: D2Go, where an entry of the architecture table is a detector.
    """

    def __init__(
        self,
        backbone: dict,
        arch: str | Mapping | Arch = 'FBNetV3_A_dsmask',
        norm_cfg: dict | None = None,
        width: float = 1.0,
        **parts,
    ) -> None:
        shared = dict(arch=arch, norm_cfg=norm_cfg, width=width)
        model = dict(shared, type='FBNetV3OD', backbone=backbone, **parts)
        model = share_settings(model)
        super().__init__(
            **{k: v for k, v in model.items() if k not in ('type', *SHARED)}
        )


@MODELS.register_module()
class FBNetV3IS(FBNetV3OD):
    """The FBNetV3 detector with masks: a Mask R-CNN of one architecture.

    Its ``roi_head`` has a ``mask_head``; all else is as in
    :class:`FBNetV3OD`.
    """


def share_settings(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model's config with the shared settings in each of its parts.

    Args:
        model (Mapping): Config of a detector. It is not changed; one of
            another type than :class:`FBNetV3OD` and :class:`FBNetV3IS` is
            returned as it is.

    Returns:
        dict: A config whose parts can be built one by one.

    Raises:
        ValueError: ``arch`` is wrong.
    """
    model = dict(model)
    if isinstance(model.get('module'), Mapping):  # inside a wrapper
        model['module'] = share_settings(model['module'])
    if model.get('type') not in ('FBNetV3OD', 'FBNetV3IS'):
        return model
    shared = {key: model[key] for key in SHARED if model.get(key) is not None}
    model['backbone'] = _with_shared(model.get('backbone'), shared)
    neck = model.get('neck')
    if isinstance(neck, Mapping):
        norm = {key: shared[key] for key in ('norm_cfg',) if key in shared}
        channels = _feature_channels(model['backbone'])
        neck = model['neck'] = {**channels, **norm, **neck}
        shared['in_channels'] = neck.get('out_channels')
    model['rpn_head'] = _with_shared(model.get('rpn_head'), shared)
    roi_head = model.get('roi_head')
    if isinstance(roi_head, Mapping):
        heads = ('shared_head', 'mask_head')
        model['roi_head'] = dict(roi_head) | {
            head: _with_shared(roi_head[head], shared)
            for head in heads
            if head in roi_head
        }
    return model


def _with_shared(part: Any, shared: Mapping[str, Any]) -> Any:
    """Return a part's config with the shared settings that it leaves open."""
    if not isinstance(part, Mapping) or part.get('type') not in ARCH_PARTS:
        return part
    own = {key: value for key, value in part.items() if value is not None}
    return {**part, **shared, **own}


def _feature_channels(backbone: Any) -> dict[str, list[int]]:
    """Return a neck's ``in_channels``, if the backbone is one of ours."""
    if not isinstance(backbone, Mapping) or 'arch' not in backbone:
        return {}
    features = trunk_features(backbone['arch'], backbone.get('width', 1.0))
    channels = [channels for _, channels in features]
    indices = backbone.get('out_indices', (len(channels) - 1,))
    try:
        return dict(in_channels=[channels[i] for i in sorted(indices)])
    except (IndexError, TypeError):  # the backbone's own error says more
        return {}
