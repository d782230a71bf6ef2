"""CheckSettingsHook in a run that MMEngine starts itself."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from toy import toy_config

from fbnetv3_mmdet.cli import build_runner
from fbnetv3_mmdet.training.settings import check_settings

FOLDER = Path(__file__).parents[1] / 'configs/fbnetv3'
DIGITS = next(FOLDER.glob('faster-rcnn_*-a-dsmask-c4_*_digits.py'))
DATASETS = FOLDER.parent / '_base_/datasets'


@pytest.fixture
def cfg(tmp_path):
    cfg = Config.fromfile(DIGITS)
    cfg.work_dir = str(tmp_path / 'work')
    cfg.train_cfg.max_iters = 1
    for split in ('train', 'val', 'test'):
        loader = cfg[f'{split}_dataloader']
        loader.update(batch_size=1, num_workers=0, persistent_workers=False)
        loader.dataset.update(data_root=str(tmp_path), num_images=1)
    return cfg


# Nothing that is built objects to these.
@pytest.mark.parametrize(
    ('path', 'value'),
    [
        ('model.roi_head.bbox_head.num_classes', 80),
        ('model.train_cfg.rpn_proposal.max_per_img', 2000),
    ],
)
def test_wrong_setting_stops_training_before_an_iteration(cfg, path, value):
    cfg.merge_from_dict({path: value})
    runner = Runner.from_cfg(cfg)
    with pytest.raises(ValueError, match=f'^{path}={value}'):
        runner.train()
    assert runner.iter == 0


def test_wrong_setting_stops_a_test(cfg):
    cfg.merge_from_dict({'model.test_cfg.rpn.max_per_img': -1})
    runner = Runner.from_cfg(cfg)
    with pytest.raises(ValueError, match=r'^model\.test_cfg\.rpn\.max_per'):
        runner.test()


def test_training_data_do_not_stop_a_test(cfg, tmp_path):
    cfg.train_dataloader.dataset = dict(
        type='CocoDataset',
        ann_file='nosuch.json',
        metainfo=dict(classes=('cat', 'dog')),
    )
    assert 'coco/bbox_mAP' in Runner.from_cfg(cfg).test()


@pytest.mark.parametrize(
    'options', [dict(compile=True), dict(runner_type='FlexibleRunner')]
)
def test_settings_that_fail_in_a_run_are_refused(cfg, options):
    ((name, value),) = options.items()
    cfg.merge_from_dict(options)
    with pytest.raises(ValueError, match=f'^{name}={value!r} cannot be used'):
        check_settings(cfg, ('train',))


def test_a_hook_that_is_none_is_left_out(cfg):
    cfg.launcher = 'none'
    cfg.default_hooks.update(stop_on_signal=None, timer=None)
    check_settings(cfg, ())
    kinds = {type(hook).__name__ for hook in build_runner(cfg).hooks}
    assert 'DurableCheckpointHook' in kinds
    assert not kinds & {'StopOnSignalHook', 'IterTimerHook'}


@pytest.mark.filterwarnings("error:.*'pin_memory'")
def test_pinned_memory_without_a_gpu_warns_nobody(tmp_path):
    hook = dict(type='PinnedMemoryHook')
    cfg = toy_config(tmp_path, **{'default_hooks.pinned_memory': hook})
    for split in ('train', 'val'):
        cfg[f'{split}_dataloader'].pin_memory = True
    Runner.from_cfg(cfg).train()  # evaluates, too


@pytest.mark.parametrize('name', ['digits', 'bccd', 'coco', 'custom'])
def test_batches_are_pinned_and_workers_stay(name):
    cfg = Config.fromfile(DATASETS / f'{name}_detection.py')
    for split in ('train', 'val', 'test'):
        loader = cfg[f'{split}_dataloader']
        assert loader.pin_memory and loader.num_workers
        assert loader.persistent_workers


@pytest.mark.gpu
def test_batches_are_copied_from_pinned_memory(cfg):
    runner = Runner.from_cfg(cfg)
    runner.train()
    batch = next(iter(runner.train_dataloader))
    assert all(image.is_pinned() for image in batch['inputs'])
    with torch.cuda.stream(torch.cuda.Stream()):
        on_device = runner.model.data_preprocessor.cast_data(batch)['inputs']
        torch.cuda.current_stream().synchronize()
    for image, copy in zip(batch['inputs'], on_device, strict=True):
        assert copy.is_cuda and copy.cpu().equal(image)
