"""training.rehearsal: mistakes show before iteration 0, and nothing stays."""

import copy
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS
from mmengine.config import Config
from mmengine.runner import Runner

from fbnetv3_mmdet.errors import SettingError
from fbnetv3_mmdet.training.rehearsal import rehearse

CONFIGS = Path(__file__).parents[1] / 'configs' / 'fbnetv3'
BOXES = CONFIGS / 'faster-rcnn_fbnetv3-a-dsmask-c4_1xb4-2k_digits.py'
MASKS = CONFIGS / 'mask-rcnn_fbnetv3-a-dsmask-c4_1xb4-2k_digits.py'
LOAD = dict(type='LoadImageFromFile')
ANNOTATIONS = dict(type='LoadAnnotations', with_bbox=True)
PACK = dict(type='PackDetInputs')


@TRANSFORMS.register_module()
class UsersTransform(BaseTransform):
    def transform(self, results):
        return results['no such key']


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    return str(tmp_path_factory.mktemp('digits'))


@pytest.fixture
def build(scenes, tmp_path):
    """Build a runner of four scenes and the smallest detector."""

    def build(config=BOXES, **changes):
        cfg = Config.fromfile(config)
        cfg.work_dir = str(tmp_path)
        cfg.experiment_name = tmp_path.name
        cfg.model.arch = 'FBNetV3_A_dsmask_tiny'
        for split in ('train', 'val', 'test'):
            loader = cfg[f'{split}_dataloader']
            loader.update(num_workers=0, persistent_workers=False)
            loader.dataset.update(data_root=scenes, num_images=4)
        cfg.train_dataloader.batch_size = 2
        cfg.merge_from_dict(changes)
        return Runner.from_cfg(cfg)

    return build


def pipeline(*transforms):
    return {'train_dataloader.dataset.pipeline': list(transforms)}


def test_nothing_of_it_stays(build):
    runner = build()
    loop = runner.val_loop
    model = copy.deepcopy(runner.model.state_dict())
    metrics = [dict(vars(metric)) for metric in loop.evaluator.metrics]
    states = random.getstate(), np.random.get_state()[1].copy()
    torch_state = torch.get_rng_state()
    rehearse(runner)
    assert random.getstate() == states[0]
    assert (np.random.get_state()[1] == states[1]).all()
    assert torch.equal(torch.get_rng_state(), torch_state)
    for name, value in runner.model.state_dict().items():
        assert torch.equal(value, model[name]), name
    assert all(p.grad is None for p in runner.model.parameters())
    # a metric without an annotation file keeps the objects that it has met
    assert [dict(vars(m)) for m in loop.evaluator.metrics] == metrics


@pytest.mark.parametrize(
    ('config', 'changes', 'path', 'words'),
    [
        (BOXES, {'val_evaluator.metric': 'segm'}, 'val_evaluator', 'segm is'),
        (
            BOXES,
            {'val_evaluator.iou_thrs': [0.5, 0.75]},
            'val_evaluator',
            'ValueError',
        ),
        (
            MASKS,
            {'model.train_cfg.rcnn.mask_size': 14},
            'model.roi_head.mask_head.loss_mask',
            'Target size',
        ),
        (
            MASKS,
            {'model.roi_head.mask_roi_extractor.output_size': 7},
            'model.roi_head.mask_head.loss_mask',
            'Target size',
        ),
        (
            BOXES,
            pipeline(LOAD, ANNOTATIONS),
            'train_dataloader.dataset.pipeline',
            'PackDetInputs',
        ),
        (
            BOXES,
            pipeline(LOAD, PACK),
            'train_dataloader.dataset.pipeline',
            'LoadAnnotations',
        ),
        (
            BOXES,
            pipeline(LOAD, ANNOTATIONS, dict(type='Mosaic'), PACK),
            'train_dataloader.dataset.pipeline.2',
            'AssertionError',
        ),
    ],
    ids=range(7),
)
def test_a_mistake_names_its_setting(config, changes, path, words, build):
    runner = build(config, **changes)
    with pytest.raises(SettingError) as caught:
        rehearse(runner)
    assert caught.value.paths == (path,)
    message = str(caught.value)
    assert message.startswith(path) and words in message
    assert '\n' not in message


def test_an_evaluator_of_other_images_is_named(build, tmp_path):
    other = tmp_path / 'other.json'
    other.write_text(
        '{"images": [{"id": 77, "file_name": "a", "width": 9, "height": 9}],'
        ' "annotations": [], "categories": [{"id": 1, "name": "0"}]}'
    )
    runner = build(**{'val_evaluator.ann_file': str(other)})
    with pytest.raises(SettingError, match='^val_evaluator failed'):
        rehearse(runner)


def test_a_users_bug_keeps_its_traceback(build):
    broken = dict(type='UsersTransform')
    runner = build(**pipeline(LOAD, ANNOTATIONS, broken, PACK))
    with pytest.raises(KeyError, match='no such key'):
        rehearse(runner)


def test_broken_images_are_left_to_the_training(build):
    runner = build()
    images = Path(runner.train_dataloader.dataset.get_data_info(0)['img_path'])
    kept = images.read_bytes()
    try:
        images.write_bytes(kept[:40])
        rehearse(runner)
    finally:
        images.write_bytes(kept)
