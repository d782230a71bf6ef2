"""What of a config can be exported; everything else is refused by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter

import torch
from mmengine.config import Config, ConfigDict
from torch import nn

from fbnetv3_runtime import MAX_SIDE
from fbnetv3_runtime.metadata import MAX_BATCH

OLDEST_TORCH = '2.10'  # older ones cannot trace what chooses among boxes
PARTS = {  # of a detector: the types whose outputs the graph reproduces
    'data_preprocessor': ['DetDataPreprocessor'],
    'rpn_head': ['FBNetV3RPNHead'],
    'rpn_head.prior_generator': ['AnchorGenerator'],
    'rpn_head.bbox_coder': ['DeltaXYWHBBoxCoder'],
    'roi_head': ['FBNetV3RoIHead'],
    'roi_head.bbox_roi_extractor': ['FBNetV3RoIExtractor'],
    'roi_head.bbox_head': ['BBoxHead', 'Shared2FCBBoxHead'],
    'roi_head.bbox_head.bbox_coder': ['DeltaXYWHBBoxCoder'],
}
MASK_PARTS = {
    'roi_head.mask_roi_extractor': ['FBNetV3RoIExtractor'],
    'roi_head.mask_head': ['FBNetV3MaskHead', 'FCNMaskHead'],
}
# Of one-stage detectors; the graph ends as MMDetection's ``BaseDenseHead``.
DENSE_PARTS = {
    'data_preprocessor': ['DetDataPreprocessor'],
    'bbox_head': [
        'RetinaHead', 'FCOSHead', 'GFLHead', 'ATSSHead', 'RTMDetSepBNHead',
    ],
    'bbox_head.prior_generator': ['AnchorGenerator', 'MlvlPointGenerator'],
    'bbox_head.bbox_coder': ['DeltaXYWHBBoxCoder', 'DistancePointBBoxCoder'],
}  # fmt: skip
ONE_STAGE = ['RetinaNet', 'FCOS', 'GFL', 'ATSS', 'RTMDet']
DETECTORS = ['FBNetV3OD', 'FBNetV3IS', 'FasterRCNN', 'MaskRCNN']
TRANSFORMS = [
    'LoadImageFromFile', 'Resize', 'LoadAnnotations', 'PackDetInputs',
]  # fmt: skip
LOAD_KEYS = {'type', 'backend_args'}  # others change what is read
RESIZE = dict(keep_ratio=True, backend='pillow')  # as the runtime resizes
NMS_KEYS = {'type', 'iou_threshold', 'split_thr'}


def check_model(model: nn.Module) -> None:
    """Refuse a detector whose exported file would find other things.

    Raises:
        ValueError: The graph does not reproduce a part or a setting, or
            PyTorch is too old.
    """
    if torch.__version__ < OLDEST_TORCH:
        raise ValueError(
            f'torch {torch.__version__} cannot export a detector; export it '
            f'with torch {OLDEST_TORCH} or newer, which reads the checkpoints '
            'of older ones'
        )
    _check_type('model', model, [*DETECTORS, *ONE_STAGE])
    if is_one_stage(model):
        _check_one_stage(model)
        return
    parts = PARTS | (MASK_PARTS if model.roi_head.with_mask else {})
    for path, types in parts.items():
        _check_type(f'model.{path}', attrgetter(path)(model), types)
    head = model.roi_head.bbox_head
    facts = {
        'rpn_head.loss_cls.use_sigmoid=False': model.rpn_head.use_sigmoid_cls,
        'roi_head.bbox_head.with_cls=False': head.with_cls,
        'roi_head.bbox_head.with_reg=False': head.with_reg,
        'roi_head.bbox_head.loss_cls of several activations': (
            not head.custom_cls_channels
        ),
        'data_preprocessor.mean=None': hasattr(
            model.data_preprocessor, 'mean'
        ),
    }
    for setting, supported in facts.items():
        if not supported:
            raise ValueError(
                f'model.{setting} cannot be exported; set what '
                'configs/_base_/models/faster-rcnn_fbnetv3-c4.py has there'
            )
    _check_test_cfg('rpn', model.rpn_head.test_cfg)
    _check_test_cfg('rcnn', model.roi_head.test_cfg)


def is_one_stage(model: nn.Module) -> bool:
    """Whether a detector finds boxes without proposals."""
    return type(model).__name__ in ONE_STAGE


def refuse_one_stage(model: nn.Module, option: str) -> None:
    """Refuse a one-stage detector where an option is for two stages.

    Raises:
        ValueError: It is one.
    """
    if is_one_stage(model):
        raise ValueError(
            f'{option} cannot be used with a one-stage detector '
            f'({type(model).__name__}); leave it out'
        )


def box_head(model: nn.Module) -> nn.Module:
    """Return the head that names classes and boxes."""
    return model.bbox_head if is_one_stage(model) else model.roi_head.bbox_head


def _check_one_stage(model: nn.Module) -> None:
    for path, types in DENSE_PARTS.items():
        _check_type(f'model.{path}', attrgetter(path)(model), types)
    head = model.bbox_head
    if getattr(head, 'with_objectness', False):
        raise ValueError(
            'model.bbox_head.with_objectness=True cannot be exported; set '
            'False, and train with it'
        )
    if head.cls_out_channels != head.num_classes:
        raise ValueError(
            'model.bbox_head.loss_cls.use_sigmoid=False cannot be exported; '
            'set True, and train with it'
        )
    _check_test_cfg('', head.test_cfg)


def check_pipeline(transforms: Sequence[Mapping]) -> Mapping:
    """Return the ``Resize`` of a test pipeline that a runtime can repeat.

    Raises:
        ValueError: It does more, or other, than load and resize.
    """
    for transform in transforms:
        if transform['type'] not in TRANSFORMS:
            raise ValueError(
                f'{transform["type"]!r} of the test pipeline cannot be '
                f'exported; supported are {TRANSFORMS}'
            )
        if transform['type'] == 'LoadImageFromFile':
            if foreign := sorted(set(transform) - LOAD_KEYS):
                raise ValueError(
                    f'LoadImageFromFile of the test pipeline has {foreign}, '
                    'which cannot be exported; leave that out'
                )
    resizes = [dict(t) for t in transforms if t['type'] == 'Resize']
    if len(resizes) != 1 or not _can_repeat(resizes[0]):
        raise ValueError(
            f'the test pipeline has the Resize transforms {resizes}; an '
            'exported file needs one, of scale=(long, short) of at most '
            f"{MAX_SIDE} pixels, keep_ratio=True and backend='pillow', and "
            'nothing else'
        )
    return resizes[0]


def check_size(size: Sequence[int] | None) -> None:
    """Refuse a size, (height, width) in pixels, that no input can have.

    None, which stands for any size, is let through.

    Raises:
        ValueError: A side is too small or too large.
    """
    if size and not 1 <= min(size) <= max(size) <= MAX_SIDE:
        raise ValueError(
            f'--size {size[0]} {size[1]} is no size: give height '
            f"and width of the network's input in pixels, at most {MAX_SIDE}, "
            'or leave it out for any'
        )


def check_batch(batch: int | None, split: bool) -> None:
    """Refuse a number of pictures that no input can have.

    Raises:
        ValueError: It is too small or large, or the file is to be split.
    """
    if batch is None:
        return
    if not 0 <= batch <= MAX_BATCH:
        raise ValueError(
            f'--batch {batch} is no number of pictures: give 1 to '
            f'{MAX_BATCH}, or 0 for any number'
        )
    if split:
        raise ValueError(
            '--batch and --split do not go together; leave one of them out'
        )


def limit_proposals(cfg: Config, number: int) -> None:
    """Enter how many proposals a two-stage detector makes of a picture.

    Args:
        cfg: Its config, which is changed.
        number: At least 1, and at most what the config has.

    Raises:
        ValueError: The number is another, or there are no proposals.
    """
    rpn = (cfg.model.get('test_cfg') or {}).get('rpn')
    if rpn is None:
        raise ValueError(
            f'--proposals cannot be used with {cfg.model.type!r}, which makes '
            'none: that is for two-stage detectors; leave it out'
        )
    if not 1 <= number <= rpn.max_per_img:
        raise ValueError(
            f'--proposals {number} is no number of proposals: give 1 to '
            f'{rpn.max_per_img}, the model.test_cfg.rpn.max_per_img of the '
            'config'
        )
    rpn.max_per_img = number


def _can_repeat(resize: Mapping) -> bool:
    scale = resize.get('scale')
    return (
        resize == dict(type='Resize', scale=scale, **RESIZE)
        and isinstance(scale, Sequence)
        and len(scale) == 2
        and all(type(s) is int and 0 < s <= MAX_SIDE for s in scale)
    )


def _check_type(path: str, part: object, types: Sequence[str]) -> None:
    if type(part).__name__ not in types:
        raise ValueError(
            f'{path} of type {type(part).__name__!r} cannot be exported; '
            f'supported are {types}'
        )


def _check_test_cfg(stage: str, cfg: ConfigDict) -> None:
    place = f'model.test_cfg.{stage}'.rstrip('.')
    nms = cfg.nms
    if nms.get('type', 'nms') != 'nms' or set(nms) - NMS_KEYS:
        raise ValueError(
            f'{place}.nms={dict(nms)!r} cannot be exported; '
            "supported is dict(type='nms', iou_threshold=...)"
        )
    if cfg.max_per_img < 1:
        raise ValueError(
            f'{place}.max_per_img={cfg.max_per_img} cannot '
            'be exported; set the most boxes that are wanted of a picture'
        )
