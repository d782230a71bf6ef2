"""Settings that follow another one: length, start, evaluation."""

import pytest
from mmengine.config import Config
from trainings import DIGITS, FOLDER

from fbnetv3_mmdet.training.settings.following import follow

pytestmark = pytest.mark.same_on_upstream

CUSTOM = next(FOLDER.glob('faster-rcnn_*_custom.py'))


def followed(config=CUSTOM, **options):
    cfg = Config.fromfile(config)
    cfg.merge_from_dict(options)
    follow(cfg)
    return cfg


def lengths(cfg):
    warmup, cosine = cfg.param_scheduler
    assert not {'end', 'T_max'} & cosine.keys()  # MMEngine's: the run's
    hooks = cfg.default_hooks
    return (
        cfg.train_cfg.val_interval,
        warmup.end,
        hooks.checkpoint.interval,
        hooks.logger.interval,
    )


@pytest.mark.parametrize(
    'config, options, expected',
    [
        (CUSTOM, {}, (250, 50, 100, 20)),
        (CUSTOM, {'train_cfg.max_iters': 4000}, (1000, 200, 400, 80)),
        (CUSTOM, {'train_cfg.max_iters': 4}, (1, 2, 1, 1)),
        (DIGITS, {}, (500, 50, 100, 20)),
        (DIGITS, {'train_cfg.max_iters': 1000}, (250, 25, 50, 10)),
        (
            CUSTOM,  # what a user sets stays
            {'train_cfg': dict(max_iters=4000, val_interval=300)},
            (300, 200, 400, 80),
        ),
    ],
)
def test_intervals_and_warm_up_follow_the_length(config, options, expected):
    assert lengths(followed(config, **options)) == expected


def test_from_scratch_nothing_is_frozen_and_the_rate_is_higher():
    def start(**options):
        cfg = followed(**options)
        rate = cfg.optim_wrapper.optimizer.lr
        return cfg.model.backbone.frozen_stages, rate

    assert start() == (2, 0.01)
    assert start(load_from=None) == (0, 0.04)
    assert start(load_from=None, resume=True) == (2, 0.01)
    rate = {'optim_wrapper.optimizer.lr': 0.02}
    assert start(load_from=None, **rate) == (0, 0.02)


@pytest.mark.parametrize('key', ['val_dataloader', 'val_cfg', 'val_evaluator'])
def test_without_one_of_val_there_is_none(key):
    cfg = followed(**{key: None})
    assert cfg.val_dataloader is cfg.val_cfg is cfg.val_evaluator is None
    assert cfg.test_dataloader is not None
