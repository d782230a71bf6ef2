"""Each setting with a wrong value, and with good ones."""

import functools
import json
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from mmdet.registry import METRICS, TRANSFORMS
from mmengine.config import Config
from mmengine.device import get_device
from PIL import Image

from fbnetv3_mmdet.data import DigitScenes
from fbnetv3_mmdet.errors import SettingError
from fbnetv3_mmdet.training.settings import (
    check_settings,
    find_faults,
    named_errors,
)

pytestmark = pytest.mark.same_on_upstream

FOLDER = Path(__file__).parents[1] / 'configs/fbnetv3'
CONFIGS = sorted(FOLDER.glob('*.py'))
DIGITS = FOLDER / 'faster-rcnn_fbnetv3-a-dsmask-c4_1xb4-2k_digits.py'
BCCD = FOLDER / 'faster-rcnn_fbnetv3-a-dsmask-c4_1xb4-1k_bccd.py'
GFL = FOLDER / 'gfl_fbnetv3-a-dsmask-tiny-fpn_1xb4-2k_digits.py'
FPN_A = FOLDER / 'retinanet_fbnetv3-a-fpn_8xb4-540k_coco.py'
FPN = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'

ARCHS = ('model.backbone', 'model.rpn_head', 'model.roi_head.shared_head')
ROI = 'model.roi_head'
RPN_ASSIGNER = 'model.train_cfg.rpn.assigner'
RCNN_ASSIGNER = 'model.train_cfg.rcnn.assigner'
PROPOSAL = 'model.train_cfg.rpn_proposal'
STRIDES = 'model.rpn_head.anchor_generator.strides'
TWO_LEVELS = {
    'model.backbone.out_indices': (2, 3),
    'model.rpn_head.anchor_generator.base_sizes': [16, 16],
    STRIDES: [8, 16],
}
DATASET = 'train_dataloader.dataset'
CHECKPOINT = 'default_hooks.checkpoint'


def everywhere(key, value):
    return {f'{part}.{key}': deepcopy(value) for part in ARCHS}


load = functools.cache(Config.fromfile)


def changed(options):
    cfg = deepcopy(load(DIGITS))
    cfg.merge_from_dict(options)
    return cfg


def message_of(cfg, splits=('train', 'val', 'test')):
    with pytest.raises(SettingError) as caught:
        check_settings(cfg, splits)
    assert caught.value.paths
    message = str(caught.value)
    assert '\n' not in message
    return message


# options, and what the message must hold: setting and value, what is
# allowed, the remedy
WRONG = [
    (
        {'train_dataloder': {'batch_size': 2}},
        ("train_dataloder={'batch_size': 2}", "mean 'train_dataloader'"),
    ),
    ({'modle': {}}, ('modle={}', "mean 'model'", 'Correct it, or')),
    *(
        ({'model': value}, (f'model={value!r}', 'a dict', '_base_'))
        for value in (None, [], 'FasterRCNN')
    ),
    (
        {'model.backbone.arch': 'FBNetV9'},
        ("model.backbone.arch='FBNetV9'", "'FBNetV3_A_dsmask'", 'choose'),
    ),
    (
        {'model.arch': 6},
        ('model.arch=6', "'FBNetV3_A_dsmask'", 'choose'),
    ),
    (
        {'model.arch': {'trunk': [], '_delete_': True}},
        ('model.arch trunk=[]', 'non-empty list of stages'),
    ),
    (
        {'model.backbone.arch': 'FBNetV3_A'},
        (
            "model.rpn_head.arch='FBNetV3_A_dsmask'",
            "model.backbone.arch='FBNetV3_A'",
            'give model.backbone, model.rpn_head, model.roi_head.shared_head',
        ),
    ),
    (
        {'model.backbone.width': 0.75},
        ('model.rpn_head.width=1.0', 'model.backbone.width=0.75', 'the same'),
    ),
    *(
        (
            {'efficient_conv_bn_eval': ['backbone'], path: value},
            ("efficient_conv_bn_eval=['backbone']", f'{path}=', 'leave'),
        )
        for path, value in (
            ('model.backbone.norm_cfg.type', 'SyncBN'),
            ('model.backbone.with_cp', True),
        )
    ),
    (
        {'model.backbone.archh': 'FBNetV3_A'},
        ("model.backbone.archh='FBNetV3_A'", "'arch'", 'remove it'),
    ),
    (
        {'model.rpn_head.loss_cls.gamma': 2},
        ('model.rpn_head.loss_cls cannot be built of', "'gamma'", 'correct'),
    ),
    (
        {'model.norm_cfg.type': 'LN'},
        ("model.norm_cfg={'type': 'LN'", "'NaiveSyncBN'", 'choose'),
    ),
    (
        {'model.norm_cfg': {'type': 'GN', 'num_groups': 7}},
        ('model.norm_cfg=', 'num_groups=7', 'num_groups=8'),
    ),
    (
        {f'{ROI}.shared_head.norm_cfg.type': 'GN'},
        (f'{ROI}.shared_head.norm_cfg=', 'positive', 'num_groups=8'),
    ),
    (
        {
            'model.rpn_head.norm_cfg.type': 'GN',
            'model.rpn_head.norm_cfg.num_groups': 5,
        },
        ('model.rpn_head.norm_cfg=', '448 channels', 'num_groups=8'),
    ),
    (
        {'model.norm_cfg.stats_mode': 'M'},
        ('model.backbone cannot be built of', "stats_mode='M'", "'N'"),
    ),
    *(
        (
            {f'{ROI}.bbox_roi_extractor.output_size': value},
            (
                f'{ROI}.bbox_roi_extractor.output_size={value!r}',
                'integer of at least 2',
                'D2Go uses 6',
            ),
        )
        for value in (1, 0, -6, 6.5, 'six', [6, 6], True)
    ),
    *(
        (
            {'load_from': value},
            (f'load_from={value!r}', 'path or the URL', 'None'),
        )
        for value in ('nosuch.pth', 6, 'd2gs://x')
    ),
    (
        {
            'model.backbone.init_cfg.type': 'Pretrained',
            'model.backbone.init_cfg.checkpoint': 'nosuch.pth',
        },
        (
            "model.backbone.init_cfg.checkpoint='nosuch.pth'",
            'path or the URL',
            'None',
        ),
    ),
    *(
        (
            {f'{assigner}.{key}': value},
            (
                f'{assigner}.{key}={value!r}',
                '0 <= lower <= upper <= 1',
                'usual are 0.3 and 0.7',
            ),
        )
        for assigner in (RPN_ASSIGNER, RCNN_ASSIGNER)
        for key, value in (
            ('neg_iou_thr', 0.75),  # above the upper threshold
            ('neg_iou_thr', -0.1),
            ('neg_iou_thr', 'six'),
            ('neg_iou_thr', (0.3, 0.2)),
            ('neg_iou_thr', None),
            ('pos_iou_thr', 1.5),
            ('pos_iou_thr', 0.2),  # below the lower threshold
            ('pos_iou_thr', True),
        )
    ),
    *(
        (
            {'model.backbone.frozen_stages': value},
            (
                f'model.backbone.frozen_stages={value!r}',
                'integer from 0, which freezes nothing, to 4',
            ),
        )
        for value in (5, -1, 'six', 1.5)
    ),
    *(
        ({path: text}, (f'{path}={text!r}', 'one of [True, False]'))
        for path in (
            'model.backbone.norm_eval',
            'model.roi_head.bbox_head.reg_class_agnostic',
            'train_dataloader.drop_last',
            'custom_hooks.0.update_buffers',
        )
        for text in ('False', 'true')
    ),
    *(
        (
            {f'{place}.{key}': value},
            (f'{place}.{key}={value!r}', 'positive integer', 'give one'),
        )
        for place in (PROPOSAL, 'model.test_cfg.rpn')
        for key in ('nms_pre', 'max_per_img')
        for value in (0, 'six', 30.0)
    ),
    (
        {f'{PROPOSAL}.max_per_img': -1},
        (f'{PROPOSAL}.max_per_img=-1', 'positive integer'),
    ),
    (
        {f'{PROPOSAL}.nms_pre': 400},
        (
            f'{PROPOSAL}.max_per_img=500',
            f'{PROPOSAL}.nms_pre=400',
            'raise nms_pre',
        ),
    ),
    (
        {'model.test_cfg.rpn.max_per_img': 1001},
        (
            'model.test_cfg.rpn.max_per_img=1001',
            'nms_pre=1000',
            'lower max_per_img',
        ),
    ),
    (
        {STRIDES: [8]},
        (f'{STRIDES}=[8]', 'model.backbone.out_indices=(3,)', '[16]'),
    ),
    (
        {'model.backbone.out_indices': (2,)},
        (f'{STRIDES}=[16]', 'model.backbone.out_indices=(2,)', '[8]'),
    ),
    (
        TWO_LEVELS,
        (
            f'{ROI}.bbox_roi_extractor.featmap_strides=[16]',
            'model.backbone.out_indices=(2, 3)',
            '[8, 16]',
        ),
    ),
    (
        {STRIDES: [8, 16]},
        (
            'model.rpn_head.anchor_generator cannot be built of',
            "'strides': [8, 16]",
            'base sizes',
            'correct',
        ),
    ),
    (
        {'model.backbone.out_indices': (4,)},
        ('model.backbone.out_indices=(4,)', '0 ... 3', 'each once'),
    ),
    (
        {f'{ROI}.bbox_head.num_classes': 80},
        (
            f'{ROI}.bbox_head.num_classes=80',
            f'10 classes of {DATASET}',
            f'set {ROI}.bbox_head.num_classes=10',
        ),
    ),
    (
        {f'{ROI}.bbox_head.num_classes': 'six'},
        (f"{ROI}.bbox_head.num_classes='six'", 'positive integer'),
    ),
    (
        {f'{DATASET}.metainfo.classes': ('a', 'b')},
        (
            f'{ROI}.bbox_head.num_classes=10',
            f"2 classes of {DATASET}, ['a', 'b']",
            f'names in {DATASET}.metainfo.classes',
        ),
    ),
    *(
        (
            {f'{DATASET}.metainfo.classes': value},
            (
                f'{DATASET}.metainfo.classes={value!r}',
                'list of names',
                "write one class as classes=('name', )",
            ),
        )
        for value in ('person', [], ['a', 'a'], [1, 2], 6)
    ),
    (
        {f'{DATASET}.metainfo.classes': ('{{$X:a', '}}')},
        (f'{DATASET}.metainfo.classes=', "'{{'", 'rename that class'),
    ),
    (
        {f'{DATASET}.metainfo': True},
        (f'{DATASET}.metainfo=True', 'a dict', 'write metainfo=dict('),
    ),
    (
        {f'{DATASET}.metainfo': 'person'},
        (f"{DATASET}.metainfo='person'", 'a dict', 'write metainfo=dict('),
    ),
    *(
        (
            {'train_cfg.max_iters': value},
            (f'train_cfg.max_iters={value!r}', 'positive integer'),
        )
        for value in ('six', 0)
    ),
    (
        {'val_dataloader.batch_size': 0},
        ('val_dataloader.batch_size=0', 'positive integer'),
    ),
    (
        {'optim_wrapper.optimizer.type': 'AdamWW'},
        ("optimizer.type='AdamWW'", "did you mean 'AdamW'?"),
    ),
    (
        {'optim_wrapper.optimizer.type': 'json'},  # a module of Python's
        ("optimizer.type='json'", 'a registered class or function'),
    ),
    (
        {f'{CHECKPOINT}.max_keep_ckpt': 3},
        (f'{CHECKPOINT}.max_keep_ckpt=3', "did you mean 'max_keep_ckpts'?"),
    ),
    (
        {f'{CHECKPOINT}.type': 'CheckpointHook', f'{CHECKPOINT}.intervall': 3},
        (f'{CHECKPOINT}.intervall=3', "did you mean 'interval'?"),
    ),
    ({f'{CHECKPOINT}.out_dir': 5}, (f'{CHECKPOINT}.out_dir=5', 'a path')),
    *(
        (
            {f'{DATASET}.{key}': value},
            (f'{DATASET}.{key}={value!r}', f'did you mean {meant!r}?'),
        )
        for key, value, meant in (
            ('filter_cfg.filter_empty', True, 'filter_empty_gt'),
            ('filter_cfg.min_sz', 32, 'min_size'),
            ('metainfo.clases', ['a'], 'classes'),
            ('metainfo.palete', [], 'palette'),
        )
    ),
    (
        {f'{DATASET}.data_prefix': dict(img='images/', imgs='i/')},
        (f"{DATASET}.data_prefix.imgs='i/'", "did you mean 'img'?"),
    ),
    (
        {'env_cfg.cudnn_benchmrk': True},
        ('env_cfg.cudnn_benchmrk=True', "did you mean 'cudnn_benchmark'?"),
    ),
    *(
        ({name: value}, (f'{name}={value!r}', f'set {place}'))
        for name, value, place in (
            ('checkpoint_config', dict(interval=1), 'default_hooks.checkp'),
            ('evaluation', dict(interval=1), 'val_evaluator'),
            ('log_config', dict(interval=50), 'default_hooks.logger'),
            ('lr_config', dict(policy='step'), 'param_scheduler'),
            ('optimizer', dict(type='SGD'), 'optim_wrapper.optimizer'),
            ('resume_from', 'a.pth', 'load_from in its place, and resume='),
            ('runner', dict(max_epochs=12), 'train_cfg'),
            ('seed', 7, 'randomness.seed'),
            ('total_epochs', 12, 'train_cfg.max_epochs'),
            ('workflow', [('train', 1)], 'train_cfg.val_interval'),
        )
    ),
    ({'workdir': 'runs'}, ("workdir='runs'", "did you mean 'work_dir'?")),
    *(
        ({f'test_{part}': 5}, (f'test_{part}=5', 'a dict'))
        for part in ('cfg', 'dataloader', 'evaluator')
    ),
    ({'log_level': 'DEBG'}, ("log_level='DEBG'", "'DEBUG'")),
    (
        {'default_hooks.timer': 5},
        ('default_hooks.timer=5', 'a dict', 'or None'),
    ),
    ({'custom_hooks': [5]}, ('custom_hooks.0=5', 'a dict with a type')),
    (
        {f'{DATASET}.pipeline': [dict(type='RandomFlip', direction='vert')]},
        (f"{DATASET}.pipeline.0.direction='vert'", "'vertical'"),
    ),
]


@pytest.mark.parametrize(
    ('options', 'words'), WRONG, ids=lambda value: str(value)[:60]
)
def test_wrong_value_is_named_with_its_remedy(options, words):
    message = message_of(changed(options))
    for word in words:
        assert word in message


GOOD = [
    everywhere('arch', 'FBNetV3_A'),
    {'model.arch': 'FBNetV3_B'},
    {'model.norm_cfg': {'type': 'GN', 'num_groups': 8}},
    {'model.width': 0.5},
    {'model.backbone.arch': 'FBNetV3_A', 'model.rpn_head.in_channels': 112}
    | {'model.roi_head.shared_head.in_channels': 112},  # a mixture, meant
    everywhere('norm_cfg', {'type': 'GN', 'num_groups': 8}),
    everywhere('norm_cfg', {'type': 'BN'}),
    everywhere('norm_cfg', {'type': 'SyncBN'}),
    everywhere('norm_cfg', {'type': 'NaiveSyncBN', 'stats_mode': 'N'}),
    {f'{ROI}.bbox_roi_extractor.output_size': 2},
    {f'{ROI}.bbox_roi_extractor.output_size': 14},
    {'load_from': None},
    {'load_from': __file__},
    {'load_from': 'https://example.org/a.pth'},
    {'load_from': 's3://bucket/a.pth'},
    {'load_from': 'torchvision://resnet50'},
    {'load_from': 'd2go://faster_rcnn_fbnetv3a_C4'},
    {f'{RPN_ASSIGNER}.neg_iou_thr': 0, f'{RPN_ASSIGNER}.pos_iou_thr': 1},
    {f'{RPN_ASSIGNER}.neg_iou_thr': 0.7},
    {f'{RPN_ASSIGNER}.neg_iou_thr': (0.1, 0.3)},
    {'model.backbone.frozen_stages': 0},
    {'model.backbone.frozen_stages': 4, 'resume': True},
    {f'{PROPOSAL}.nms_pre': 500},
    {f'{PROPOSAL}.nms_pre': -1},
    {'model.test_cfg.rpn.nms_pre': 1, 'model.test_cfg.rpn.max_per_img': 1},
    {
        'model.backbone.out_indices': (2,),
        'model.rpn_head.in_channels': 40,
        STRIDES: [8],
        f'{ROI}.shared_head.in_channels': 40,
        f'{ROI}.bbox_roi_extractor.featmap_strides': [8],
    },
    {
        f'{ROI}.bbox_head.num_classes': 1,
        **{
            f'{split}_dataloader.dataset.metainfo.classes': ['digit']
            for split in ('train', 'val', 'test')
        },
    },
    {'val_dataloader': None, 'test_dataloader': None},
    {'model.test_cfg.rpn': None},
    {'optim_wrapper.type': 'OptimWrapper'},
    {f'{CHECKPOINT}.out_dir': 'd', f'{CHECKPOINT}.priority': 'VERY_LOW'},
    {f'{CHECKPOINT}.filename_tmpl': 'epoch_{}.pth'},
    {'seed': 7, 'randomness.seed': 7},
    {'default_hooks.timer': None, 'default_hooks.logger': None},
    {'log_level': 10, 'env_cfg.resource_limit': 8192},
    {f'{DATASET}.metainfo.num_classes': 10, f'{DATASET}.metainfo.site': 'x'},
    {f'{DATASET}.filter_cfg': dict(filter_empty_gt=True, min_size=32)},
    # variables of MMDetection's configs
    {'test_pipeline': [], 'conv_cfg': None, 'val_evaluator_abs': {}},
    # a user's own
    {'augmented': 'True', 'mine': dict(flag='false')},
]


@pytest.mark.parametrize('options', GOOD, ids=lambda value: str(value)[:60])
def test_good_value_passes(options):
    check_settings(changed(options))


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_shipped_config_passes(path):
    check_settings(load(path), splits=())


def evaluated(save_best, *metrics):
    cfg = changed({f'{CHECKPOINT}.save_best': save_best})
    cfg.val_evaluator = [dict(type='CocoMetric') | m for m in metrics]
    if len(metrics) == 1:
        (cfg.val_evaluator,) = cfg.val_evaluator
    return cfg


BOX, SEGM = dict(metric='bbox'), dict(metric=['bbox', 'segm'])
WISE = dict(classwise=True)
FAST = dict(metric='proposal_fast', proposal_nums=(10, 20))


@pytest.mark.parametrize(
    ('save_best', 'metrics'),
    [
        ('coco/bbox_map', [BOX]),
        ('coco/bbox_mAP_05', [BOX]),
        ('coco/segm_mAP', [BOX]),
        ('bbox_mAP', [BOX]),
        ('autos', [BOX]),
        (['coco/bbox_mAP', 'coco/segm_mAP'], [BOX, FAST]),
        ('coco/bbox_mAP', [BOX | dict(prefix='val')]),
        ('coco/bbox_mAP', [BOX | dict(metric_items=['mAP_50'])]),
        ('coco/0_precision', [BOX]),
        ('coco/ten_precision', [BOX | WISE]),
        ('coco/AR@100', [FAST]),
    ],
)
def test_best_metric_that_is_not_computed_is_named(save_best, metrics):
    message = message_of(evaluated(save_best, *metrics), ('train',))
    assert message.startswith(f'{CHECKPOINT}.save_best={save_best!r}: ')
    assert "'auto' or None" in message


@pytest.mark.parametrize(
    ('save_best', 'metrics'),
    [
        (None, [BOX]),
        ('auto', [BOX]),
        (['auto'], [SEGM]),
        (['coco/bbox_mAP_50', 'coco/segm_mAP_l'], [SEGM]),
        ('coco/segm_mAP', [BOX, dict(metric='segm')]),
        ('val/bbox_mAP', [BOX | dict(prefix='val')]),
        ('coco/bbox_AR@100', [BOX | dict(metric_items=['AR@100'])]),
        ('coco/9_precision', [BOX | WISE]),
        ('coco/AR@20', [FAST]),
        ('coco/AR_s@1000', [dict(metric='proposal')]),
        ('anything', [dict(BOX, type='LVISMetric')]),
    ],
)
def test_best_metric_that_is_computed_passes(save_best, metrics):
    check_settings(evaluated(save_best, *metrics), ('train',))


@pytest.mark.parametrize('in_list', [False, True])
@pytest.mark.parametrize(
    'value', [[40, 112, 216], [24, 40, 112, 184], [216, 112, 40, 24], 112]
)
def test_neck_that_does_not_fit_the_features_is_named(value, in_list):
    cfg = deepcopy(load(FPN_A))
    cfg.model.neck.in_channels = value
    if in_list:
        cfg.model.neck = [cfg.model.neck]
    place = 'model.neck.0' if in_list else 'model.neck'
    message = message_of(cfg, ())
    assert message.startswith(f'{place}.in_channels={value!r} ')
    assert f'set {place}.in_channels=[32, 112, 200]' in message


def test_one_stage_head_that_does_not_fit_its_neck_is_named():
    cfg = deepcopy(load(GFL))
    check_settings(cfg, ())
    cfg.model.neck.out_channels = 32
    assert message_of(cfg, ()).startswith(
        'model.bbox_head.in_channels=48 does not fit '
        'model.neck.out_channels=32; set both'
    )


@pytest.mark.parametrize(
    'name', ['train_dataloader2', 'models', 'test_dataloader_b', 'resume_me']
)
def test_variable_named_after_a_setting_passes(name):
    check_settings(changed({name: 1}), ())


def test_default_hook_that_is_none_is_left_out():
    check_settings(changed({'default_hooks.finite_loss': None}), ('train',))


@pytest.mark.parametrize('name', ['train_dataloder', 'modle', 'custom_hook'])
def test_variable_that_looks_misspelt_is_named(name):
    assert message_of(changed({name: 1}), ()).startswith(f'{name}=1 is read')


@pytest.mark.parametrize(
    ('setting', 'limit'),
    [
        ('optim_wrapper.optimizer.lr', '1000000.0'),
        ('optim_wrapper.optimizer.weight_decay', '1e37'),
        ('optim_wrapper.clip_grad.max_norm', '1e37'),
    ],
)
def test_message_names_the_upper_limit_too(setting, limit):
    message = message_of(changed({setting: 1e38}), ())
    assert message.startswith(f'{setting}=1e+38 must be ')
    assert limit in message


def test_error_without_words_is_shown_without_a_colon():
    flip = dict(type='RandomFlip', prob=0.5, direction='vertcal')
    with (
        pytest.raises(ValueError, match='AssertionError; correct these'),
        named_errors(dict(part=flip)),
    ):
        TRANSFORMS.build(flip)


def test_head_without_a_number_of_classes_has_80():
    cfg = changed({})
    del cfg.model.roi_head.bbox_head.num_classes
    message = message_of(cfg)
    assert message.startswith(f'{ROI}.bbox_head.num_classes=80 ')
    assert f'set {ROI}.bbox_head.num_classes=10' in message


def test_all_that_the_evaluator_returns_passes():
    settings = dict(metric=['bbox', 'proposal', 'proposal_fast']) | WISE
    metric = METRICS.build(dict(settings, type='CocoMetric'))
    metric.dataset_meta = DigitScenes.METAINFO
    boxes, labels = torch.tensor([[1.0, 1, 9, 9]]), torch.tensor([0])
    found = dict(bboxes=boxes, labels=labels, scores=torch.ones(1))
    instance = dict(bbox=[1.0, 1, 9, 9], bbox_label=0)
    picture = dict(img_id=1, ori_shape=(10, 10))
    sample = dict(picture, pred_instances=found, instances=[instance])
    metric.process({}, [sample])
    results = metric.evaluate(1)
    assert len(results) == 6 + 10 + 6  # sizes, classes, recalls
    check_settings(evaluated([*results], settings), ('train',))


def test_a_test_run_needs_no_pretrained_part():
    init_cfg = dict(type='Pretrained', checkpoint='nosuch.pth')
    cfg = changed({'model.backbone.init_cfg': init_cfg})
    check_settings(cfg, ('test',))
    assert "checkpoint='nosuch.pth'" in message_of(cfg, ('train',))


@pytest.mark.skipif(get_device() != 'cpu', reason='needs a machine without')
def test_mixed_precision_needs_an_accelerator_to_train():
    cfg = changed({'optim_wrapper.type': 'AmpOptimWrapper'})
    check_settings(cfg, ('test',))
    message = message_of(cfg)
    assert "optim_wrapper.type='AmpOptimWrapper'" in message
    assert 'only on CUDA' in message and 'leave --amp out' in message


def test_config_is_not_changed():
    cfg = changed({})
    before = cfg.to_dict()
    check_settings(cfg)
    assert cfg.to_dict() == before


def test_each_level_has_its_proposals_before_nms():
    cfg = Config.fromstring(f'_base_ = {FPN!r}', '.py')
    cfg.model.test_cfg.rpn.nms_pre = 200
    cfg.model.test_cfg.rpn.max_per_img = 1000
    check_settings(cfg, splits=())
    cfg.model.test_cfg.rpn.nms_pre = 199
    message = message_of(cfg, splits=())
    assert 'nms_pre=199 from each of 5 feature level(s)' in message


def coco():
    """Return a set of two images with a box each, of other classes."""
    box = dict(bbox=[2, 3, 8, 6], area=48, iscrowd=0)
    return dict(
        images=[
            dict(id=i, file_name=f'{i}.png', width=20, height=10)
            for i in (1, 2)
        ],
        categories=[dict(id=7, name='cat'), dict(id=9, name='dog')],
        annotations=[
            dict(id=1, image_id=1, category_id=7, **box),
            dict(id=2, image_id=2, category_id=9, **box),
        ],
    )


@pytest.fixture
def root(tmp_path):
    """Folder of a COCO set: ann.json, and images in images/."""
    (tmp_path / 'images').mkdir()
    for i in (1, 2):
        Image.new('RGB', (20, 10)).save(tmp_path / f'images/{i}.png')
    (tmp_path / 'ann.json').write_text(json.dumps(coco()))
    return tmp_path


def coco_config(root, **options):
    """Return a config that trains on, validates and tests with the set."""
    cfg = changed({})
    for split in ('train', 'val', 'test'):
        cfg[f'{split}_dataloader'].dataset = dict(
            type='CocoDataset',
            data_root=str(root),
            ann_file='ann.json',
            data_prefix=dict(img='images/'),
            metainfo=dict(classes=('cat', 'dog')),
        )
    cfg.model.roi_head.bbox_head.num_classes = 2
    cfg.merge_from_dict(options)
    return cfg


def test_coco_set_passes(root):
    check_settings(coco_config(root))


def wrong_set(change, *words):
    return pytest.param(change, words, id=words[0])


def no_boxes(boxes):
    """Return a change that gives every annotation such a box."""

    def change(data):
        for annotation in data['annotations']:
            annotation.update(boxes)

    return change


OUTSIDE = 'box outside its image: 1 of 1'
EMPTY = 'box of zero or negative size: 1 of 1'
UNUSABLE = 'class without a usable object (cat ('


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        wrong_set(lambda data: data.pop('images'), 'has no list of images'),
        wrong_set(lambda data: data['images'].clear(), 'has no images'),
        wrong_set(
            lambda data: data['categories'].clear(), 'has no categories'
        ),
        wrong_set(
            lambda data: data.pop('categories'), 'has no list of categories'
        ),
        wrong_set(
            lambda data: data.pop('annotations'), 'has no list of annotations'
        ),
        wrong_set(
            lambda data: data['annotations'].clear(),
            UNUSABLE + 'no annotation',
        ),
        wrong_set(
            lambda data: data['annotations'][1].pop('area'),
            'is broken: 1 x annotation without area (2.png #2)',
            'check_dataset.py --fix',
        ),
        wrong_set(
            lambda data: data['annotations'][1].update(bbox=[1, 2]),
            'is broken: 1 x box that is not four numbers (2.png #2)',
        ),
        wrong_set(lambda data: data.update(images='x'), 'has no list of'),
        wrong_set(
            no_boxes(dict(bbox=[2, 3, 0, 6])),
            UNUSABLE + EMPTY,
        ),
        wrong_set(
            no_boxes(dict(bbox=[2, 3, 8, -6])),
            UNUSABLE + EMPTY,
        ),
        wrong_set(
            no_boxes(dict(bbox=[20, 3, 8, 6])),
            UNUSABLE + 'box outside its image: 1 of 1',
        ),  # outside
        wrong_set(
            no_boxes(dict(bbox=[2, -6, 8, 6])),
            UNUSABLE + 'box outside its image: 1 of 1',
        ),
        wrong_set(
            no_boxes(dict(area=0)), UNUSABLE + 'area of zero or less: 1 of 1'
        ),
        wrong_set(no_boxes(dict(iscrowd=1)), UNUSABLE + 'crowd: 1 of 1'),
        wrong_set(
            no_boxes(dict(image_id=3)), '2 x unknown image id', UNUSABLE
        ),
        wrong_set(
            no_boxes(dict(category_id=3)), '2 x unknown category', UNUSABLE
        ),
        wrong_set(
            lambda data: data['categories'][1].update(name='Dog'),
            'class without a usable object (dog (is none of cat, Dog))',
            'leave it out of metainfo.classes',
        ),
        wrong_set(
            lambda data: data['categories'].reverse(),
            "metainfo.classes=['cat', 'dog'] is not in the order",
            "write classes=['dog', 'cat']",
        ),
    ],
)
def test_wrong_annotation_file_is_named(root, change, words):
    data = coco()
    change(data)
    (root / 'ann.json').write_text(json.dumps(data))
    message = message_of(coco_config(root))
    assert message.startswith('train_dataloader.dataset.')
    for word in (*words, repr(str(root / 'ann.json'))):
        assert word in message


@pytest.mark.parametrize(
    ('text', 'fault'),
    [
        (None, 'is not a file'),
        ('', 'is not JSON'),
        ('{"images": [', 'is not JSON'),
        ('[]', 'has no list of images'),
        ('{}', 'has no list of images'),
    ],
)
def test_missing_or_broken_annotation_file_is_named(root, text, fault):
    file = root / 'ann.json'
    file.unlink() if text is None else file.write_text(text)
    message = message_of(coco_config(root))
    assert f'train_dataloader.dataset.ann_file={str(file)!r} {fault}' in (
        message
    )
    assert 'give a' in message and 'COCO' in message


@pytest.mark.parametrize('split', ['val', 'test'])
def test_each_split_is_checked_when_asked_for(root, split):
    cfg = coco_config(root)
    cfg[f'{split}_dataloader'].dataset.ann_file = 'nosuch.json'
    check_settings(cfg, {'train', 'val', 'test'} - {split})
    message = message_of(cfg, (split,))
    assert message.startswith(f'{split}_dataloader.dataset.ann_file=')


def test_a_class_may_lack_boxes_in_val_and_a_file_have_more_classes(root):
    data = coco()
    data['categories'].insert(0, dict(id=1, name='bird'))
    (root / 'ann.json').write_text(json.dumps(data))
    data['annotations'].pop()
    (root / 'val.json').write_text(json.dumps(data))
    cfg = coco_config(root)
    cfg.val_dataloader.dataset.ann_file = 'val.json'
    notes = check_settings(cfg, ('train', 'val'))
    assert any('names it)): has no AP' in note for note in notes)
    cfg.train_dataloader.dataset.ann_file = 'val.json'
    assert UNUSABLE.replace('cat', 'dog') in message_of(cfg)


def test_a_test_set_may_lack_annotations_where_nothing_is_evaluated(root):
    data = coco()
    del data['annotations']
    (root / 'ann.json').write_text(json.dumps(data))
    cfg = coco_config(root)
    assert 'has no annotations' in message_of(cfg, ('test',))
    assert 'format_only=True' in message_of(cfg, ('test',))
    cfg.test_evaluator.format_only = True
    check_settings(cfg, ('test',))


@pytest.mark.parametrize(
    ('folder', 'fault'),
    [
        ('nosuch', 'is not a folder'),
        ('empty', 'is empty'),
    ],
)
def test_wrong_image_folder_is_named(root, folder, fault):
    (root / 'empty').mkdir()
    cfg = coco_config(root)
    cfg.train_dataloader.dataset.data_prefix.img = folder
    message = message_of(cfg)
    place = f'{DATASET}.data_prefix.img={str(root / folder)!r} {fault}'
    assert message.startswith(place)
    assert 'give the folder' in message


def test_missing_files_are_counted_and_named(root):
    (root / 'images/1.png').unlink()
    message = message_of(coco_config(root))
    assert '1 x missing file (1.png)' in message
    assert 'give the folder that the file names start from' in message
    (root / 'images/2.png').rename(root / 'images/2.PNG')
    assert '(2.png (is there as 2.PNG))' in message_of(coco_config(root))


@pytest.mark.parametrize('value', [6, None])
@pytest.mark.parametrize('key', ['ann_file', 'data_prefix.img'])
def test_path_that_is_none_is_named(root, key, value):
    message = message_of(coco_config(root, **{f'{DATASET}.{key}': value}))
    assert message.startswith(f'{DATASET}.{key}={value!r} must be a path')


def test_missing_file_of_the_evaluator_is_named(root):
    options = {'val_evaluator.ann_file': str(root / 'nosuch.json')}
    message = message_of(coco_config(root, **options))
    assert message.startswith('val_evaluator.ann_file=')
    assert 'is not a file' in message


def test_wrapped_datasets_are_checked(root):
    cfg = coco_config(root)
    inner = cfg.train_dataloader.dataset
    bad = deepcopy(inner)
    bad.ann_file = 'nosuch.json'
    cfg.train_dataloader.dataset = dict(
        type='RepeatDataset',
        times=2,
        dataset=dict(type='ConcatDataset', datasets=[inner, bad]),
    )
    place = 'train_dataloader.dataset.dataset.datasets.1.ann_file='
    assert message_of(cfg).startswith(place)


def test_changed_annotation_file_is_read_again(root):
    cfg = coco_config(root)
    check_settings(cfg)
    (root / 'ann.json').write_text('{}')
    assert 'has no list of images' in message_of(cfg)


def test_remote_files_are_left_to_mmengine(root):
    cfg = coco_config(root)
    cfg.train_dataloader.dataset.data_root = 's3://bucket/set'
    check_settings(cfg)


def test_unknown_types_are_left_to_the_registry(root):
    cfg = coco_config(root)
    cfg.train_dataloader.dataset.type = 'NoSuchDataset'
    cfg.model.backbone.type = 'NoSuchBackbone'
    check_settings(cfg)


def test_all_faults_are_found_at_once_with_their_paths():
    cfg = changed(
        {
            'model.norm_cfg.type': 'LN',
            'model.test_cfg.rpn.max_per_img': 'six',
            'model.train_cfg.rpn.assigner.neg_iou_thr': 0.9,
            'optim_wrapper.optimizer.lr': -1,
            'train_dataloader.batch_size': 0,
        }
    )
    faults = find_faults(cfg, ('train',))
    assert {path for fault in faults for path in fault.paths} == {
        'model.norm_cfg',
        'model.test_cfg.rpn.max_per_img',
        'model.train_cfg.rpn.assigner.neg_iou_thr',
        'model.train_cfg.rpn.assigner.pos_iou_thr',
        'optim_wrapper.optimizer.lr',
        'train_dataloader.batch_size',
    }


def test_a_good_config_has_no_faults():
    assert find_faults(changed({}), ('train', 'val')) == []
