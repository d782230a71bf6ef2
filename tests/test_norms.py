"""NaiveSyncBN against a recorded run and hand-solved cases; freezing."""

from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
import torch.distributed as dist
from mmcv.cnn import build_norm_layer
from mmengine.model import revert_sync_batchnorm
from torch import multiprocessing, nn

from fbnetv3_mmdet.models.norms import (
    NORM_TYPES,
    NaiveSyncBN,
    check_norm_cfg,
    freeze,
    set_norm_eval,
)

RECORD = (
    Path(__file__).resolve().parents[2]
    / 'shared/d2go/naive_sync_bn_2workers.npz'
)
RECORDED = [
    (case, mode)
    for case in ('equal', 'n_differ', 'hw_differ')
    for mode in ('default', 'N')
] + [('empty', 'N')]
STATS_MODE = {'default': '', 'N': 'N'}
WORKERS = 2
TIMEOUT_S = 180
EMPTY = torch.zeros(0, 1, 2, 2)


class Case(NamedTuple):
    """One training forward and backward; tuples hold an item a worker."""

    x: tuple[torch.Tensor, torch.Tensor]
    grad_out: tuple[torch.Tensor, torch.Tensor]
    options: dict = {}
    state: dict = {}  # what differs from a fresh layer's
    eval_on: tuple[int, ...] = ()  # only these workers run, in eval mode


# Worker 0 has one image, mean 2 and mean square 7; worker 1 three, -2 and 11.
# Equal weights: mean 0, variance 9. By images: mean -1, variance 10 - 1 = 9.
HAND_X = (
    torch.tensor([1, 1, 1, 5.0]).view(1, 1, 2, 2),
    torch.tensor([2, -6, -1, -3, 0, -4.0]).view(3, 1, 1, 2),
)
# the loss is worker 0's output where its input is 5
HAND_GRAD = (
    torch.tensor([0, 0, 0, 1.0]).view(1, 1, 2, 2),
    torch.zeros(3, 1, 1, 2),
)
HAND_OPTIONS = {'eps': 0, 'momentum': 0.5}
# both workers: mean 1 + 2^-8, a tie between two bfloat16 values, and even is 1
TIE = torch.tensor([1, 1 + 2**-7], dtype=torch.bfloat16).view(1, 1, 1, 2)


def hand_case(mode, scale=1, dtype=torch.float32):
    return Case(
        tuple((scale * x).to(dtype) for x in HAND_X),
        tuple(grad.to(dtype) for grad in HAND_GRAD),
        {**HAND_OPTIONS, 'stats_mode': mode},
    )


def recorded_case(record, name, mode):
    def pair(key):
        return tuple(
            torch.from_numpy(record[f'{name}/mode={mode}/rank{rank}/{key}'])
            for rank in range(WORKERS)
        )

    # Not in the record; solved for from its outputs and running statistics,
    # where each comes out round in float64 (residual below 3e-7).
    state = {
        'weight': torch.tensor([0.5, 1, 2]),
        'bias': torch.tensor([0.1, 0, -0.3]),
        'running_mean': torch.tensor([1.0, 2, 3]),
        'running_var': torch.tensor([2, 1, 0.5]),
    }
    options = {'stats_mode': STATS_MODE[mode]}
    return Case(pair('x'), pair('grad_out'), options, state)


def all_cases():
    some = torch.arange(8.0).view(2, 1, 2, 2)
    cases = {
        'hand': hand_case(''),
        'hand N': hand_case('N'),
        'half': hand_case('', scale=100, dtype=torch.float16),
        'bfloat16': Case((TIE, TIE), (TIE, TIE), {'momentum': 1}),
        **{
            f'one empty {mode}': Case(
                (EMPTY, some),
                (EMPTY, torch.ones_like(some)),
                {**HAND_OPTIONS, 'stats_mode': mode},
            )
            for mode in STATS_MODE.values()
        },
        **{
            f'both empty {mode}': Case(
                (EMPTY, EMPTY), (EMPTY, EMPTY), {'stats_mode': mode}
            )
            for mode in STATS_MODE.values()
        },
        'eval on one worker': Case((some, some), (some, some), eval_on=(1,)),
    }
    if RECORD.exists():
        record = np.load(RECORD)
        for name, mode in RECORDED:
            cases[f'{name} {mode}'] = recorded_case(record, name, mode)
    return cases


def run_case(case, rank):
    """Return the tensors of one case on one worker, or its error."""
    if case.eval_on and rank not in case.eval_on:
        return {}
    x = case.x[rank].clone().requires_grad_()
    norm = NaiveSyncBN(x.shape[1], **case.options)
    norm.load_state_dict({**norm.state_dict(), **case.state})
    norm.train(not case.eval_on)
    y = norm(x)
    y.backward(case.grad_out[rank].to(y.dtype))
    return {
        'y': y.detach(),
        'grad_x': x.grad,
        'grad_w': norm.weight.grad,
        'grad_b': norm.bias.grad,
        'running_mean': norm.running_mean,
        'running_var': norm.running_var,
        'nbt': norm.num_batches_tracked,
    }


def run_worker(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group(
        'gloo',
        init_method=(folder / 'store').as_uri(),
        rank=rank,
        world_size=WORKERS,
        timeout=timedelta(seconds=TIMEOUT_S / 3),
    )
    results = {
        name: run_case(case, rank) for name, case in all_cases().items()
    }
    torch.save(results, folder / f'{rank}.pth')
    dist.destroy_process_group()


@pytest.fixture(scope='module')
def two_workers(tmp_path_factory):
    """Results of all cases, by worker, from one two-process gloo group."""
    folder = tmp_path_factory.mktemp('two_workers')
    context = multiprocessing.start_processes(
        run_worker,
        (folder,),
        nprocs=WORKERS,
        join=False,
        # that other tests use too: its server has imported everything
        start_method='forkserver',
    )
    try:  # each join ends with a worker, or at the time limit
        joined = any(context.join(TIMEOUT_S) for _ in range(WORKERS))
        assert joined, f'a worker still runs after {TIMEOUT_S} s'
    finally:
        for process in context.processes:
            process.kill()
    return [torch.load(folder / f'{rank}.pth') for rank in range(WORKERS)]


def close(actual, expected, rtol=1e-6, atol=1e-6):
    torch.testing.assert_close(actual, expected, rtol=rtol, atol=atol)


@pytest.mark.parity
@pytest.mark.parametrize('name, mode', RECORDED)
def test_two_workers_equal_the_recorded_run(two_workers, name, mode):
    if not RECORD.exists():
        pytest.skip('the recorded run is not beside this checkout')
    record = np.load(RECORD)
    for rank, result in enumerate(two_workers):
        for key, actual in result[f'{name} {mode}'].items():
            expected = record[f'{name}/mode={mode}/rank{rank}/{key}']
            close(actual, torch.from_numpy(expected), atol=1e-5)


def test_workers_weigh_the_same_by_default(two_workers):
    first, second = (result['hand'] for result in two_workers)
    close(first['y'], HAND_X[0] / 3)
    close(second['y'], HAND_X[1] / 3)
    # A pixel's share a of the mean is 1/8 on worker 0, 1/12 on worker 1; its
    # gradient is 1/3 if it is the 5, less a/3, less 5 x a/27 for the variance
    close(first['grad_x'].flatten(), torch.tensor([-7, -7, -7, 19]) / 108)
    close(second['grad_x'], -(9 + 5 * HAND_X[1]) / 324)
    close(first['grad_w'], torch.tensor([5 / 3]))
    close(first['grad_b'], torch.tensor([1.0]))
    close(second['grad_w'], torch.tensor([0.0]))
    for result in (first, second):  # halfway from 0 and from 1
        close(result['running_mean'], torch.tensor([0.0]))
        close(result['running_var'], torch.tensor([5.0]))
        assert not result['running_var'].requires_grad  # holds no graph
        assert result['nbt'] == 0


def test_workers_weigh_by_images_in_mode_n(two_workers):
    first, second = (result['hand N'] for result in two_workers)
    close(first['y'], (HAND_X[0] + 1) / 3)
    close(second['y'], (HAND_X[1] + 1) / 3)
    # as above with a = 1/16 and 1/8, and 6 (x + 1) a/27 for the variance
    close(first['grad_x'].flatten(), torch.tensor([-7, -7, -7, 33]) / 144)
    close(second['grad_x'], -(5 + 2 * HAND_X[1]) / 72)
    close(first['grad_w'], torch.tensor([2.0]))
    for result in (first, second):
        close(result['running_mean'], torch.tensor([-0.5]))
        close(result['running_var'], torch.tensor([5.0]))
        assert result['nbt'] == 0


def test_half_is_computed_in_float(two_workers):
    for x, result in zip(HAND_X, two_workers, strict=True):
        y = result['half']['y']  # 500 squared overflows float16
        assert y.dtype == torch.float16
        close(y.float(), x / 3, rtol=1e-3)
        close(result['half']['running_var'], torch.tensor([45000.5]))


def test_bfloat16_is_not_computed_in_float(two_workers):
    for result in two_workers:
        assert result['bfloat16']['running_mean'] == 1  # else 1 + 2^-8
        assert result['bfloat16']['y'].dtype == torch.float32


@pytest.mark.parametrize('mode', ['', 'N'])
def test_empty_worker_leaves_statistics_to_the_other(two_workers, mode):
    empty, other = (result[f'one empty {mode}'] for result in two_workers)
    assert empty['y'].shape == empty['grad_x'].shape == EMPTY.shape
    # 0 ... 7 has mean 3.5 and variance 5.25
    x = torch.arange(8.0).view(2, 1, 2, 2)
    close(other['y'], (x - 3.5) / 5.25**0.5)
    close(other['grad_x'], torch.zeros_like(x))
    for result in (empty, other):
        close(result['running_mean'], torch.tensor([1.75]))
        close(result['running_var'], torch.tensor([3.125]))


@pytest.mark.parametrize('mode', ['', 'N'])
def test_no_image_at_all_updates_nothing(two_workers, mode):
    for result in two_workers:
        both = result[f'both empty {mode}']
        assert both['y'].shape == EMPTY.shape
        assert both['running_mean'] == 0
        assert both['running_var'] == 1


def test_eval_mode_does_not_communicate(two_workers):
    result = two_workers[1]['eval on one worker']
    x = torch.arange(8.0).view(2, 1, 2, 2)
    close(result['y'], x / (1 + 1e-5) ** 0.5)
    assert result['running_mean'] == 0


@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('stats_mode', ['', 'N'])
@pytest.mark.parametrize('num_images', [3, 0])
def test_one_worker_is_batch_norm(stats_mode, training, num_images):
    torch.manual_seed(0)
    x = torch.randn(num_images, 4, 5, 6)
    norm = NaiveSyncBN(4, stats_mode=stats_mode).train(training)
    reference = nn.BatchNorm2d(4).train(training)
    assert torch.equal(norm(x), reference(x))
    ours, theirs = norm.state_dict(), reference.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_stats_mode_is_checked():
    with pytest.raises(ValueError, match="stats_mode='n' .*'' .*'N'"):
        NaiveSyncBN(4, stats_mode='n')


def test_mmcv_builds_it_by_name():
    cfg = dict(type='NaiveSyncBN', stats_mode='N', requires_grad=False)
    name, norm = build_norm_layer(cfg, 8, postfix=1)
    assert (name, type(norm), norm.stats_mode) == ('bn1', NaiveSyncBN, 'N')
    assert norm.num_features == 8
    assert not any(param.requires_grad for param in norm.parameters())


def test_mmdet_builds_it_in_a_neck():
    from mmdet.registry import MODELS

    assert MODELS.get('NaiveSyncBN') is NaiveSyncBN
    fpn = MODELS.build(
        dict(
            type='FPN',
            in_channels=[8, 16],
            out_channels=8,
            num_outs=2,
            norm_cfg=dict(type='NaiveSyncBN', momentum=0.5),
        )
    )
    norms = [m for m in fpn.modules() if isinstance(m, NaiveSyncBN)]
    assert len(norms) == 4  # a lateral and an output conv a level
    assert {norm.momentum for norm in norms} == {0.5}
    fpn([torch.randn(2, 8, 8, 8), torch.randn(2, 16, 4, 4)])
    assert all(norm.num_batches_tracked == 1 for norm in norms)


def test_single_process_runs_keep_it():
    model = nn.Sequential(NaiveSyncBN(4), nn.SyncBatchNorm(4))
    kept, reverted = revert_sync_batchnorm(model)
    assert type(kept) is NaiveSyncBN
    assert not isinstance(reverted, nn.SyncBatchNorm)


@pytest.mark.parametrize(
    'norm_cfg',
    [
        dict(type='BN', momentum=0.03),
        dict(type='SyncBN'),
        dict(type='NaiveSyncBN', stats_mode='N'),
        dict(type='GN', num_groups=8),
        dict(type=nn.BatchNorm2d),
        dict(type=nn.SyncBatchNorm),
        dict(type=NaiveSyncBN),
        dict(type=nn.GroupNorm, num_groups=8),
    ],
)
def test_good_norm_cfg_passes(norm_cfg):
    check_norm_cfg(norm_cfg, 24)


@pytest.mark.parametrize(
    'norm_cfg', [None, 'BN', {}, dict(type='bn'), dict(type=nn.LayerNorm)]
)
def test_unknown_norm_is_refused(norm_cfg):
    with pytest.raises(ValueError, match='^norm_cfg=') as error:
        check_norm_cfg(norm_cfg, 24)
    message = str(error.value)
    assert repr(norm_cfg) in message and '\n' not in message
    assert all(repr(name) in message for name in NORM_TYPES)
    assert "norm_cfg=dict(type='BN')" in message


@pytest.mark.parametrize('num_groups', [None, 0, -8, 2.0, 5, 32])
@pytest.mark.parametrize('kind', ['GN', nn.GroupNorm])
def test_group_norm_names_channels_and_groups(kind, num_groups):
    cfg = dict(type=kind, num_groups=num_groups)
    with pytest.raises(ValueError, match='^norm_cfg=') as error:
        check_norm_cfg(cfg, 112)
    message = str(error.value)
    for part in ('112 channels', repr(num_groups)):
        assert part in message
    assert 'num_groups=8' in message and '\n' not in message


def conv_norm(kind):
    options = {'num_groups': 2} if kind == 'GN' else {}
    norm = build_norm_layer(dict(type=kind, **options), 4)[1]
    return nn.Sequential(nn.Conv2d(3, 4, 3), norm).train()


def buffers_change(model):
    before = {name: b.clone() for name, b in model.named_buffers()}
    model(torch.randn(2, 3, 8, 8))
    return any(
        not torch.equal(before[name], b) for name, b in model.named_buffers()
    )


@pytest.mark.parametrize('kind', NORM_TYPES)
def test_set_norm_eval_stops_running_statistics(kind):
    model = conv_norm(kind)
    assert buffers_change(model) == (kind != 'GN')
    set_norm_eval(model)
    assert not buffers_change(model)
    assert model.training and model[0].training
    assert all(param.requires_grad for param in model.parameters())


@pytest.mark.parametrize('kind', NORM_TYPES)
def test_freeze_stops_statistics_and_gradients(kind):
    model = conv_norm(kind)
    freeze(model)
    assert not buffers_change(model)
    assert not any(layer.training for layer in model.modules())
    assert not any(param.requires_grad for param in model.parameters())
