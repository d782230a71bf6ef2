"""What is allowed in the parts of a model: kinds of settings, as data."""

from ...kinds import (
    COUNT,
    COUNT_OR_NONE,
    DICT,
    FRACTION,
    NON_NEGATIVE,
    NONE,
    NUMBER,
    POSITIVE,
    list_of,
    nested,
)

_SIZE = COUNT | list_of(COUNT, 2)
_POSITIVES = list_of(POSITIVE)
_NESTED = nested(POSITIVE)
_OVERLAP = NUMBER  # -1 switches the rule off
_WEIGHT = dict(loss_weight=NON_NEGATIVE)

MODULES = {
    # what all modules have, and norms
    'BaseModule': dict(init_cfg=DICT | list_of(DICT) | NONE),
    '_NormBase': dict(
        eps=NON_NEGATIVE,
        momentum=FRACTION | NONE,
    ),
    'GroupNorm': dict(eps=NON_NEGATIVE),
    # heads and what they are made of
    'FBNetV3': dict(width=POSITIVE, in_channels=COUNT),
    'FBNetV3RPNHead': dict(width=POSITIVE, in_channels=COUNT | NONE),
    'FBNetV3MaskHead': dict(width=POSITIVE, in_channels=COUNT | NONE),
    'FBNetV3SharedHead': dict(
        width=POSITIVE,
        in_channels=COUNT | NONE,
    ),
    'FBNetV3RoIExtractor': dict(
        sampling_ratio=COUNT_OR_NONE,
        first_level=COUNT_OR_NONE,
        featmap_strides=list_of(COUNT),
    ),
    'BBoxHead': dict(
        num_classes=COUNT,
        in_channels=COUNT,
        roi_feat_size=_SIZE,
    ),
    'FCNMaskHead': dict(num_classes=COUNT),
    'AnchorGenerator': dict(
        # nested for those of SSD and YOLO
        strides=_NESTED,
        ratios=_NESTED,
        scales=_POSITIVES | NONE,
        base_sizes=_NESTED | NONE,
        octave_base_scale=POSITIVE | NONE,
        scales_per_octave=COUNT | NONE,
        center_offset=FRACTION,
    ),
    'DeltaXYWHBBoxCoder': dict(
        target_means=list_of(NUMBER, 4),
        target_stds=list_of(POSITIVE, 4),
        ctr_clamp=POSITIVE,
    ),
    'MaxIoUAssigner': dict(
        min_pos_iou=FRACTION,
        ignore_iof_thr=_OVERLAP,
        gpu_assign_thr=NUMBER,
    ),
    'RandomSampler': dict(
        num=COUNT,
        pos_fraction=FRACTION,
        neg_pos_ub=NUMBER,
    ),
    'CrossEntropyLoss': _WEIGHT,
    'FocalLoss': _WEIGHT | dict(alpha=NUMBER, gamma=NON_NEGATIVE),
    'L1Loss': _WEIGHT,
    'SmoothL1Loss': _WEIGHT | dict(beta=NON_NEGATIVE),
    'IoULoss': _WEIGHT,
    'GIoULoss': _WEIGHT,
    'DetDataPreprocessor': dict(
        mean=list_of(NUMBER, 1, 3) | NONE,
        std=list_of(POSITIVE, 1, 3) | NONE,
        pad_size_divisor=COUNT,
        pad_value=NUMBER | list_of(NUMBER, 1, 3),
    ),
}
