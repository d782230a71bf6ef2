"""The keys of MMEngine's that few configs have work to the end of a run."""

import pytest
import torch
from trainings import errors_of, output_of, small_config, train, train_ranks

from fbnetv3_mmdet.training.settings import check_settings

pytestmark = [pytest.mark.slow, pytest.mark.same_on_upstream]


def config(folder, **options):
    folder.mkdir()
    settings = {
        'train_cfg': dict(max_iters=4, val_interval=4),
        'model.norm_cfg': dict(type='BN'),  # to be fused, or synchronised
    }
    return small_config(folder, **settings, **options)


@pytest.mark.parametrize(
    'options',
    [
        dict(
            activation_checkpointing=['backbone'],
            auto_scale_lr=dict(enable=True, base_batch_size=4),
            experiment_name='mine',
            runner_type='Runner',
        ),
        dict(efficient_conv_bn_eval=['backbone']),
    ],
    ids=', '.join,
)
def test_trains_resumes_and_tests(options, tmp_path):
    cfg = config(tmp_path / 'one', **options)
    assert train(cfg) == 0, output_of(cfg)
    cfg.resume, cfg.train_cfg.max_iters = True, 6
    assert train(cfg) == 0, output_of(cfg)
    cfg.resume, cfg.load_from = False, f'{cfg.work_dir}/iter_6.pth'
    cfg.train_cfg = cfg.train_dataloader = None
    cfg.optim_wrapper = cfg.param_scheduler = None
    assert train(cfg) == 0, output_of(cfg)
    assert not errors_of(cfg)


def test_trains_in_two_processes(tmp_path):
    wrapper = dict(type='MMDistributedDataParallel')
    cfgs = [
        config(tmp_path / name, launcher='pytorch', model_wrapper_cfg=wrapper)
        for name in 'ab'
    ]
    cfgs[1].work_dir = cfgs[0].work_dir
    assert train_ranks(cfgs) == [0, 0], output_of(cfgs[0])


@pytest.mark.skipif(torch.cuda.is_available(), reason='for CPUs')
@pytest.mark.parametrize(
    'options', [{'sync_bn': 'torch'}, {'model.norm_cfg': dict(type='SyncBN')}]
)
def test_norms_that_cpus_cannot_synchronise(options, tmp_path):
    cfg = small_config(tmp_path, **options)
    cfg.launcher = 'pytorch'
    with pytest.raises(
        ValueError, match="=.* needs a GPU .* set .*'NaiveSync"
    ):
        check_settings(cfg, ())
