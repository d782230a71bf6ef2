"""What is allowed where: the kinds of single settings, as data.

``OF_TYPE`` is for dicts with a ``type``, whose subclasses take them over;
``AT_PLACE`` for those without, by a pattern of their dotted path. What is in
neither is not checked here, but for flags as text: no setting is 'False'.
"""

from mmengine.runner import Priority

from ...kinds import (
    BOOL,
    COUNT,
    COUNT_OR_ALL,
    COUNT_OR_NONE,
    DICT,
    FRACTION,
    LIST,
    NON_NEGATIVE,
    NONE,
    NUMBER,
    PATH,
    POSITIVE,
    WHOLE,
    integer,
    list_of,
    number,
    one_of,
    pair_of,
)
from .modules import MODULES

_SIZE = COUNT | list_of(COUNT, 2)
# MMCV wants tuples; what --cfg-options sets is one in parentheses
_SCALE = COUNT | pair_of(COUNT)
_SCALES = pair_of(COUNT) | list_of(pair_of(COUNT))
_RATE = number(0, 1e6)
_BETA = number(0, 1)
_OPTIMIZER = dict(lr=_RATE, weight_decay=NON_NEGATIVE)
_ADAM = _OPTIMIZER | dict(betas=list_of(_BETA, 2), eps=NON_NEGATIVE)
_SCHEDULER = dict(
    begin=COUNT_OR_NONE,
    end=COUNT | one_of((float('inf'),)),
    last_step=integer(-1),
)
_RANDOM = dict(prob=FRACTION | list_of(FRACTION) | NONE)
_LEVELS = ('DEBUG', 'INFO', 'WARNING', 'WARN', 'ERROR', 'CRITICAL', 'FATAL')
_METRIC = one_of(('bbox', 'segm', 'proposal', 'proposal_fast'))
_DIRECTION = one_of(('horizontal', 'vertical', 'diagonal'))
_RATIOS = list_of(POSITIVE, 2)

OF_TYPE = MODULES | {
    # data
    'BaseDataset': dict(
        max_refetch=COUNT_OR_NONE,
        filter_cfg=DICT | NONE,
        pipeline=LIST,
    ),
    'DigitScenes': dict(num_images=integer(1), seed=COUNT_OR_NONE),
    'Resize': dict(
        scale=_SCALE | NONE,
        scale_factor=POSITIVE | list_of(POSITIVE, 2) | NONE,
        backend=one_of(('cv2', 'pillow')),
    ),
    'RandomResize': dict(scale=_SCALES, ratio_range=_RATIOS | NONE),
    'RandomChoiceResize': dict(scales=list_of(_SCALE)),
    'RandomFlip': _RANDOM | dict(direction=_DIRECTION | list_of(_DIRECTION)),
    # schedule
    'SGD': _OPTIMIZER | dict(momentum=NON_NEGATIVE, dampening=NON_NEGATIVE),
    'Adam': _ADAM,
    'AdamW': _ADAM,
    'OptimWrapper': dict(accumulative_counts=COUNT, clip_grad=DICT | NONE),
    '_ParamScheduler': _SCHEDULER,
    'LinearParamScheduler': dict(
        start_factor=number(1e-37, 1, 'a number above 0, up to 1'),
        end_factor=FRACTION,
    ),
    'ConstantParamScheduler': dict(factor=FRACTION),
    'CosineAnnealingParamScheduler': dict(
        T_max=COUNT | NONE, eta_min=NON_NEGATIVE | NONE
    ),
    'MultiStepParamScheduler': dict(
        milestones=list_of(COUNT_OR_NONE), gamma=NON_NEGATIVE
    ),
    'StepParamScheduler': dict(step_size=COUNT, gamma=NON_NEGATIVE),
    # evaluation
    'CocoMetric': dict(metric=_METRIC | list_of(_METRIC)),
    # hooks
    'Hook': dict(priority=integer(0) | one_of([p.name for p in Priority])),
    'LoggerHook': dict(
        interval=COUNT,
        interval_exp_name=COUNT,
    ),
    'CheckpointHook': dict(
        interval=COUNT_OR_ALL,
        max_keep_ckpts=COUNT_OR_ALL,
        save_begin=COUNT_OR_NONE,
        out_dir=PATH | NONE,
    ),
    'EMAHook': dict(
        # up to 1: what it is the weight of is left to the average
        momentum=number(1e-37, 1, 'a number above 0, at most 1'),
        interval=COUNT,
        begin_iter=COUNT_OR_NONE,
        begin_epoch=COUNT_OR_NONE,
    ),
}

_NMS = dict(
    type=one_of(('nms', 'soft_nms', 'nms_match', 'nms_rotated')),
    iou_threshold=FRACTION,
    iou_thr=FRACTION,  # its older name
    offset=one_of((0, 1)),
    score_threshold=FRACTION,
    class_agnostic=BOOL,
    split_thr=COUNT,
    max_num=COUNT_OR_ALL,
    sigma=POSITIVE,
    min_score=NON_NEGATIVE,
    method=one_of(('naive', 'linear', 'gaussian')),
)
_MULTIPLIERS = ('bias_lr', 'bias_decay', 'norm_decay', 'dwconv_decay') + (
    'flat_decay',
    'dcn_offset_lr',
)
_HEAD = r'model\.(.+\.)?(train|test)_cfg(\..+)?'  # of one, or of all

PARAMWISE = r'optim_wrapper\.paramwise_cfg'  # of MMEngine's constructor

AT_PLACE = {
    '': dict(
        model=DICT,
        optim_wrapper=DICT | NONE,
        param_scheduler=DICT | list_of(DICT) | NONE,
        train_cfg=DICT | NONE,
        train_dataloader=DICT | NONE,
        val_cfg=DICT | NONE,
        val_dataloader=DICT | NONE,
        val_evaluator=DICT | LIST | NONE,
        test_cfg=DICT | NONE,
        test_dataloader=DICT | NONE,
        test_evaluator=DICT | LIST | NONE,
        default_hooks=DICT | NONE,
        custom_hooks=LIST | NONE,
        randomness=DICT,
        auto_scale_lr=DICT | NONE,
        env_cfg=DICT,
        log_level=COUNT_OR_NONE | one_of((*_LEVELS, 'NOTSET')),
        resume=BOOL,
    ),
    _HEAD: dict(
        nms_pre=COUNT_OR_ALL,
        max_per_img=COUNT_OR_ALL,
        score_thr=FRACTION,
        min_bbox_size=NUMBER,
        pos_weight=NUMBER,
        allowed_border=NUMBER,
        mask_size=_SIZE,
        mask_thr_binary=FRACTION | one_of((-1,)),
    ),
    # of RPN heads, which would leave out the last one for -1
    r'model\.(train_cfg\.rpn_proposal|test_cfg\.rpn)': dict(max_per_img=COUNT),
    rf'{_HEAD}\.nms': _NMS,
    r'(train|val|test)_dataloader': dict(
        batch_size=COUNT,
        num_workers=COUNT_OR_NONE,
        timeout=NON_NEGATIVE,
        drop_last=BOOL,
        prefetch_factor=COUNT | NONE,
    ),
    r'(train|val|test)_cfg': dict(
        max_iters=COUNT,
        max_epochs=COUNT,
        val_interval=WHOLE,
        val_begin=COUNT_OR_NONE,
    ),
    r'optim_wrapper\.clip_grad': dict(
        type=one_of(('norm', 'value')),
        max_norm=POSITIVE,
        clip_value=POSITIVE,
        norm_type=POSITIVE | one_of(('inf', float('inf'))),
        error_if_nonfinite=BOOL,
        foreach=BOOL | NONE,
    ),
    PARAMWISE: {
        **{f'{name}_mult': NON_NEGATIVE | NONE for name in _MULTIPLIERS},
        'bypass_duplicate': BOOL,
        'custom_keys': DICT,
    },
    'log_processor': dict(window_size=COUNT, num_digits=COUNT),
    'randomness': dict(
        seed=COUNT_OR_NONE | NONE, diff_rank_seed=BOOL, deterministic=BOOL
    ),
    # what Runner.setup_env reads
    'env_cfg': dict(
        cudnn_benchmark=BOOL, mp_cfg=DICT, dist_cfg=DICT, resource_limit=COUNT
    ),
    'auto_scale_lr': dict(enable=BOOL, base_batch_size=COUNT),
}
# Where no other keys are read.
CLOSED = (
    rf'{_HEAD}\.nms',
    r'optim_wrapper\.clip_grad',
    'randomness',
    'auto_scale_lr',
    'env_cfg',
)
