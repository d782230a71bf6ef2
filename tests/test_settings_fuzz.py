"""Settings drawn at random: each takes a training step or is named as wrong.

A draw changes one to three settings of a small detector's config. It is then
checked, built and trained for an iteration, with an evaluation and a saved
checkpoint, as ``tools/train.py`` does. What may happen: losses and weights
stay finite; or a ValueError of one line names one of the changed settings and
its value.
"""

import logging
import math
import re
import uuid
from copy import deepcopy
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from mmengine.visualization import Visualizer
from thorough import amount

from fbnetv3_mmdet.training.settings import check_settings, named_errors

FOLDER = Path(__file__).parents[1] / 'configs/fbnetv3'
DIGITS = next(FOLDER.glob('faster-rcnn_*-a-dsmask-tiny-c4_*_digits.py'))

REPEATABLE = dict(
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],  # to make an example smaller takes too long
    suppress_health_check=list(HealthCheck),
)

# Of a wrong type or out of range nearly everywhere.
ODD = (
    None,
    True,
    False,
    'six',
    '',
    -1,
    0,
    0.5,
    1,
    3,
    7.5,
    -0.25,
    1e-300,
    math.nan,
    math.inf,
    -math.inf,
    [],
    [0],
    [1, 2],
    [0.5, 0.5, 0.5],
    ['a', 'b', 'c', 'd'],
    [None],
    [[1, 2], [3, 4]],
)
MODULES = ('model.backbone', 'model.rpn_head', 'model.roi_head.shared_head')
ARCH = dict(
    trunk=[
        [('conv', 3, 8, 2, 1)],
        [('ir', 3, 8, 2, 1, 2)],
        [('ir_se', 3, 8, 2, 1, 2)],
        [('ir', 3, 16, 2, 1, 2)],
    ],
    rpn=[('ir', 3, 16, 1, 1, 2)],
    bbox=[('ir', 3, 16, 2, 1, 2)],
)
NORMS = (
    dict(type='BN'),
    dict(type='SyncBN'),
    dict(type='GN', num_groups=8),
    dict(type='GN', num_groups=5),
    dict(type='GN'),
    dict(type='LN'),
    dict(type='BN', momentum='six'),
    dict(type='BN', eps=-1.0),
    dict(type='BN', eps=math.nan),
    dict(type='NaiveSyncBN', stats_mode='N'),
    dict(type='BN', requires_grad=False),
    dict(),
)
ANCHORS = 'model.rpn_head.anchor_generator'
ROI = 'model.roi_head'
TRAIN = 'model.train_cfg'
TEST = 'model.test_cfg'
DATA = 'train_dataloader.dataset'
OPTIMIZER = 'optim_wrapper.optimizer'
HOOK = 'default_hooks'
COUNTS = (1, 2, 3, 5)
FLAGS = (True, False)
PORTIONS = (0, 0.0, 0.3, 0.7, 1, 1.0)

# Values that make sense; ODD ones are drawn as often.
DRAWN = {
    **{
        f'{module}.arch': ('FBNetV3_A_dsmask_tiny', 'FBNetV3_A_dsmask', ARCH)
        + ('FBNetV9', {'trunk': []}, {**ARCH, 'rpn': [('ir', 2, 8, 1, 1)]})
        for module in MODULES
    },
    **{f'{module}.norm_cfg': NORMS for module in MODULES},
    **{f'{module}.width': (1.0, 0.5, 2) for module in MODULES},
    **{f'{module}.in_channels': (3, 64, 112) for module in MODULES},
    'model.backbone.out_indices': ((3,), [3], (2,), (2, 3), (3, 3), (4,)),
    'model.backbone.frozen_stages': (0, 2, 4, 5),
    'model.backbone.norm_eval': FLAGS,
    'model.backbone.with_cp': FLAGS,
    'model.backbone.init_cfg': (
        None,
        dict(type='Pretrained', checkpoint='nosuch.pth'),
        dict(type='Kaiming', layer='Conv2d'),
        dict(type='Nonsense'),
    ),
    f'{ANCHORS}.scales': ([2, 4], [8], [1.5], [-2], [0]),
    f'{ANCHORS}.ratios': ([1.0], [0.5, 2], [0.0], [-1.0]),
    f'{ANCHORS}.strides': ([16], [(16, 16)], [8], [8, 16]),
    f'{ANCHORS}.base_sizes': ([16], [1.5], None, [16, 32]),
    f'{ANCHORS}.center_offset': PORTIONS,
    f'{ANCHORS}.scale_major': FLAGS,
    f'{ANCHORS}.type': ('AnchorGenerator', 'SSDAnchorGenerator', 'Anchors'),
    'model.rpn_head.loss_cls.loss_weight': PORTIONS,
    'model.rpn_head.loss_cls.use_sigmoid': FLAGS,
    'model.rpn_head.loss_bbox.loss_weight': PORTIONS,
    'model.rpn_head.loss_bbox.type': ('SmoothL1Loss', 'GIoULoss', 'L7Loss'),
    **{
        f'{head}.bbox_coder.{key}': values
        for head in ('model.rpn_head', f'{ROI}.bbox_head')
        for key, values in (
            ('target_stds', ([0.1] * 4, (1, 1, 1, 1), [1, 1, 1], [0] * 4)),
            ('target_means', ([0.0] * 4, [1, 1], [math.nan] * 4)),
        )
    },
    f'{ROI}.bbox_head.num_classes': (10, 1, 80),
    f'{ROI}.bbox_head.with_avg_pool': FLAGS,
    f'{ROI}.bbox_head.reg_class_agnostic': FLAGS,
    f'{ROI}.bbox_head.reg_decoded_bbox': FLAGS,
    f'{ROI}.bbox_head.roi_feat_size': (1, 7, (1, 1)),
    f'{ROI}.bbox_head.in_channels': (128, 160, 1),
    f'{ROI}.bbox_head.type': ('Shared2FCBBoxHead', 'BoxHead'),
    f'{ROI}.bbox_head.loss_cls.loss_weight': PORTIONS,
    f'{ROI}.shared_head.frozen': FLAGS,
    f'{ROI}.bbox_roi_extractor.output_size': (2, 6, 7, (6, 6)),
    f'{ROI}.bbox_roi_extractor.sampling_ratio': (0, 2),
    f'{ROI}.bbox_roi_extractor.featmap_strides': ([16], (16,), [8], [8, 16]),
    **{
        f'{TRAIN}.{stage}.assigner.{key}': PORTIONS
        for stage in ('rpn', 'rcnn')
        for key in ('pos_iou_thr', 'neg_iou_thr', 'min_pos_iou')
    },
    **{
        f'{TRAIN}.{stage}.{key}': values
        for stage in ('rpn', 'rcnn')
        for key, values in (
            ('assigner.match_low_quality', FLAGS),
            ('assigner.ignore_iof_thr', (-1, 0.5)),
            ('sampler.num', (*COUNTS, 64)),
            ('sampler.pos_fraction', PORTIONS),
            ('sampler.neg_pos_ub', (-1, 0, 3)),
            ('sampler.add_gt_as_proposals', FLAGS),
            ('sampler.type', ('RandomSampler', 'OHEMSampler', 'Sampler')),
            ('pos_weight', (-1, 1, 2.0)),
        )
    },
    f'{TRAIN}.rpn.allowed_border': (-1, 0, 8),
    **{
        f'{place}.{key}': values
        for place in (f'{TRAIN}.rpn_proposal', f'{TEST}.rpn')
        for key, values in (
            ('nms_pre', COUNTS),
            ('max_per_img', COUNTS),
            ('min_bbox_size', (0, -1, 4, 0.5)),
            ('nms.iou_threshold', PORTIONS),
            ('nms.type', ('nms', 'soft_nms', 'NMS')),
        )
    },
    f'{TEST}.rcnn.score_thr': PORTIONS,
    f'{TEST}.rcnn.nms.iou_threshold': PORTIONS,
    f'{TEST}.rcnn.nms.type': ('nms', 'soft_nms', 'NMS'),
    f'{TEST}.rcnn.max_per_img': (*COUNTS, -1),
    'model.data_preprocessor.mean': ([1.0] * 3, [5], [1, 2], None),
    'model.data_preprocessor.std': ([57.0] * 3, [0.0] * 3, [-1] * 3, None),
    'model.data_preprocessor.pad_size_divisor': (1, 32),
    'model.data_preprocessor.bgr_to_rgb': FLAGS,
    'model.data_preprocessor.rgb_to_bgr': FLAGS,
    'train_dataloader.batch_size': COUNTS[:2],
    'train_dataloader.num_workers': (0,),
    'train_dataloader.persistent_workers': FLAGS,
    'train_dataloader.drop_last': FLAGS,
    'train_dataloader.sampler.type': ('DefaultSampler', 'NoSampler'),
    'train_dataloader.sampler.shuffle': FLAGS,
    'val_dataloader.batch_size': (1, 2),
    'val_dataloader.num_workers': (0,),
    f'{DATA}.pipeline.2.scale': ((64, 48), [96, 64], (0, 5), (64,)),
    f'{DATA}.pipeline.2.keep_ratio': FLAGS,
    f'{DATA}.pipeline.2.backend': ('cv2', 'pillow', 'gd'),
    f'{DATA}.pipeline.2.type': ('Resize', 'Resizee'),
    f'{DATA}.metainfo': (dict(classes=('a', 'b')), dict()),
    f'{DATA}.num_images': (2,),
    f'{DATA}.test_mode': FLAGS,
    'train_cfg.max_iters': (1, 1000),
    'train_cfg.val_interval': (1, 5),
    'train_cfg.type': ('IterBasedTrainLoop', 'EpochLoop'),
    f'{OPTIMIZER}.type': ('SGD', 'AdamW', 'AdamX', 'Adam'),
    f'{OPTIMIZER}.lr': (0.04, 0.0, 1e-5),
    f'{OPTIMIZER}.weight_decay': (0, 1e-4),
    f'{OPTIMIZER}.momentum': (0, 0.9),
    'optim_wrapper.type': ('OptimWrapper', 'AmpOptimWrapper', 'Wrapper'),
    'optim_wrapper.clip_grad': (
        None,
        dict(max_norm=35),
        dict(max_norm=35, norm_type=2),
        dict(max_norm='six'),
        dict(max_norm=-1),
        dict(norm=3),
        dict(type='value', clip_value=0.5),
        dict(type='vaule', clip_value=0.5),
    ),
    'optim_wrapper.accumulative_counts': COUNTS,
    'optim_wrapper.paramwise_cfg.norm_decay_mult': (0.0, 1),
    'param_scheduler.0.start_factor': (1e-3, 1.0),
    'param_scheduler.0.end': (5, 100),
    'param_scheduler.0.begin': (0, 60),
    'param_scheduler.0.by_epoch': FLAGS,
    'param_scheduler.1.T_max': (5, 100),
    'param_scheduler.1.eta_min': (0, 1e-5),
    'param_scheduler.1.type': ('CosineAnnealingLR', 'CosineLR'),
    'custom_hooks.0.momentum': (0.005, 1.0),
    'custom_hooks.0.type': ('D2GoEMAHook', 'NoHook'),
    'custom_hooks.0.priority': (49, 'NORMAL'),
    f'{HOOK}.finite_loss.interval': COUNTS,
    f'{HOOK}.logger.interval': COUNTS,
    f'{HOOK}.checkpoint.interval': (1, 5, -1),
    f'{HOOK}.checkpoint.max_keep_ckpts': (-1, 1, 3),
    f'{HOOK}.checkpoint.by_epoch': (False,),
    f'{HOOK}.checkpoint.save_best': ('auto', 'coco/bbox_mAP', 'loss'),
    'val_evaluator.metric': ('bbox', ['bbox'], 'segm', 'box'),
    'val_evaluator.type': ('CocoMetric', 'CocoMetrics'),
    'randomness.seed': (None, 0, 7),
    'randomness.deterministic': (False,),
    'auto_scale_lr.base_batch_size': (1, 32),
    'auto_scale_lr.enable': FLAGS,
    'load_from': (None, 'nosuch.pth', 'd2go://nosuch'),
    'resume': (False,),
    'log_processor.window_size': COUNTS,
}


# Whose keys are settings, all of them.
READ = (
    'model',
    'train_dataloader',
    'val_dataloader',
    'train_cfg',
    'optim_wrapper',
    'param_scheduler',
    'custom_hooks',
    'val_evaluator',
    'log_processor',
    'auto_scale_lr',
    'randomness',
)


def options():
    """Draw one to three settings with a value each."""
    return st.lists(
        st.sampled_from(sorted(DRAWN)).flatmap(
            lambda path: st.tuples(
                st.just(path),
                st.sampled_from(DRAWN[path]) | st.sampled_from(ODD),
            )
        ),
        min_size=1,
        max_size=3,
        unique_by=lambda option: option[0],
    )


@HOOKS.register_module()
class LastStepHook(Hook):
    """End a training after its first iteration and an evaluation."""

    priority = 'LOWEST'

    def after_train_iter(self, runner, batch_idx, data_batch, outputs):
        runner.step_losses = [loss.item() for loss in outputs.values()]
        if runner.train_loop.val_interval > 1:
            runner.val_loop.run()
        runner.train_loop._max_iters = 1


@pytest.fixture(scope='module')
def base(tmp_path_factory):
    """Return the config of a detector and data that take 0.1 s a step."""
    folder = tmp_path_factory.mktemp('fuzz')
    cfg = Config.fromfile(DIGITS)
    cfg.work_dir = str(folder / 'work')
    resize = dict(
        type='Resize', scale=(96, 64), keep_ratio=True, backend='pillow'
    )
    for split, number in dict(train=2, val=1).items():
        loader = cfg[f'{split}_dataloader']
        loader.update(
            batch_size=number, num_workers=0, persistent_workers=False
        )
        # collecting the garbage of a test takes longer than a step
        loader.dataset.update(
            data_root=str(folder / 'data'),
            num_images=number,
            serialize_data=False,
        )
        loader.dataset.pipeline[1 : 2 if split == 'val' else 1] = [resize]
    train = cfg.train_dataloader.dataset.pipeline
    train[1], train[2] = train[2], train[1]
    proposals = dict(nms_pre=50, max_per_img=10)
    cfg.merge_from_dict(
        {
            'test_dataloader': None,
            'test_cfg': None,
            'test_evaluator': None,
            'train_cfg': dict(max_iters=1, val_interval=1),
            'param_scheduler.1': dict(T_max=100, end=100),
            'model.train_cfg': dict(
                rpn_proposal=proposals, rcnn=dict(sampler=dict(num=4))
            ),
            'model.test_cfg.rpn': proposals,
            'default_hooks.checkpoint.interval': 1,
            'default_hooks.last_step': dict(type='LastStepHook'),
            'visualizer.vis_backends': [],
            'randomness': dict(seed=None),
            'log_level': 'ERROR',
        }
    )
    return cfg.to_dict()


@pytest.fixture(scope='module', autouse=True)
def quick():
    """Leave out what takes a second a run and reads no setting."""
    with pytest.MonkeyPatch.context() as patch:
        # formatted four times a run
        patch.setattr(Config, 'pretty_text', property(repr))
        patch.setattr(Runner, '_log_env', lambda *_: None)
        yield


def at(node, path):
    """Return what is at a dotted path, '' for the whole."""
    for name in filter(None, path.split('.')):
        node = node[int(name) if isinstance(node, list) else name]
    return node


def run(base, changes):
    """Train a step; return the message where a setting is refused."""
    settings = dict(deepcopy(base), experiment_name=uuid.uuid4().hex)
    for path, value in changes:
        parent, _, key = path.rpartition('.')
        at(settings, parent)[key] = deepcopy(value)
    cfg = Config(settings)
    try:
        with named_errors(cfg):
            check_settings(cfg, ('train', 'val'))
            runner = Runner.from_cfg(cfg)
            runner.train()
    except ValueError as error:
        return str(error)
    finally:
        _forget()
    assert runner.iter == 1
    assert all(map(math.isfinite, runner.step_losses))
    assert all(
        value.isfinite().all() for value in runner.model.state_dict().values()
    )
    return None


def _forget():
    """Close the run's log, and what else the process has one of a name."""
    for kind in (MMLogger, Visualizer, *Visualizer.__subclasses__()):
        kind._instance_dict.clear()
    logging.getLogger().handlers.clear()


def check(base, changes):
    """Assert that changed settings train a step, or are named."""
    message = run(base, changes)
    if message is None:
        event('trained')
        return
    event('refused')
    assert '\n' not in message
    assert any(names(message, *change) for change in changes), message


def names(message, path, value):
    """Whether a message has a setting's path, or its last key, and its value.

    Of a dict it may name what is wrong inside.
    """
    if isinstance(value, dict):
        return path in message
    key = path.rpartition('.')[2]
    if key == 'type' and value:  # 'scale is no setting of TYPE'
        return has(message, str(value))
    given = has(message, repr(value))
    return given and (path in message or has(message, f"'{key}'"))


def has(message, word):
    """Whether a message has a word, not as a part of a longer one."""
    return re.search(rf'(?<![\w.]){re.escape(word)}(?!\w|\.\w)', message)


@settings(max_examples=20, **REPEATABLE)
@given(changes=options())
def test_settings_train_or_are_named(base, changes):
    check(base, changes)


@pytest.mark.slow
@settings(max_examples=amount(25, 120), **REPEATABLE)
@given(changes=options())
def test_more_settings_train_or_are_named(base, changes):
    check(base, changes)


def places(node, path=''):
    """Yield the dotted paths of the settings below ``node``."""
    children = node.items() if isinstance(node, dict) else enumerate(node)
    for key, child in children:
        place = f'{path}.{key}'.lstrip('.')
        top, _, rest = path.partition('.')
        read = top in READ or (top == 'default_hooks' and rest)
        if isinstance(node, dict) and read:
            yield place
        if isinstance(child, (dict, list)):
            yield from places(child, place)


def misspelt(key):
    """Return a key with its second letter missing, or two swapped."""
    return st.sampled_from([key[0] + key[2:], key[:-2] + key[-1] + key[-2]])


def check_misspelt(base, data):
    """Assert that a setting with a misspelt key is named."""
    path = data.draw(st.sampled_from(sorted(places(base))))
    parent, _, key = path.rpartition('.')
    wrong = data.draw(misspelt(key).filter(lambda word: word != key))
    message = run(base, [(f'{parent}.{wrong}', at(base, path))])
    assert message is not None, f'{parent}.{wrong} is not noticed'
    assert '\n' not in message
    assert wrong in message


@settings(max_examples=15, **REPEATABLE)
@given(data=st.data())
def test_misspelt_keys_are_named(base, data):
    check_misspelt(base, data)


@pytest.mark.slow
@settings(max_examples=amount(12, 50), **REPEATABLE)
@given(data=st.data())
def test_more_misspelt_keys_are_named(base, data):
    check_misspelt(base, data)
