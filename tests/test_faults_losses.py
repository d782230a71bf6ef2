"""Losses and weights that are not finite end a run and are not saved."""

import math
import re
from pathlib import Path

import pytest
import torch
import trainings
from mmengine.runner import Runner
from syncs import Syncs
from toy import toy_config
from trainings import listen, read_checkpoint

from fbnetv3_mmdet.training.faults import FiniteLossHook


def stopped(cfg, capsys):
    """Train; return the line with which the run ends."""
    runner = Runner.from_cfg(cfg)
    messages = listen(runner)
    with pytest.raises(SystemExit) as caught:
        runner.train()
    assert caught.value.code == 1
    lines = capsys.readouterr().err.splitlines()
    (line,) = (line for line in lines if line.startswith('error: '))
    assert messages[-1] == line.removeprefix('error: ')
    return line, runner


def all_finite(folder):
    """Whether each checkpoint in a folder, at least one, is free of NaN."""
    paths = list(Path(folder).rglob('*.pth'))
    return bool(paths) and all(
        torch.isfinite(tensor).all()
        for path in paths
        for part in ('state_dict', 'ema_state_dict')
        for tensor in read_checkpoint(str(path))[part].values()
    )


@pytest.mark.parametrize('value', ['nan', 'inf'])
def test_line_names_what_is_wrong(value, tmp_path, capsys):
    poison = dict(loss=5, value=value)
    cfg = toy_config(tmp_path, model=dict(poison=poison))
    line, _ = stopped(cfg, capsys)
    assert line.startswith(f'error: iteration 5: loss_a={value}; ')
    # the linear warm-up begins at a third, and ends at 20
    rate = 0.1 * (1 / 3 + 2 / 3 * 4 / 19)
    assert f'lr={rate:g}; ' in line
    assert len(re.findall(r'\b\d+\.png', line)) == 3
    for remedy in ('optim_wrapper.optimizer.lr', 'clip_grad', 'warm-up'):
        assert remedy in line
    assert [p.name for p in tmp_path.glob('*.pth')] == ['iter_3.pth']
    assert all_finite(tmp_path)


@pytest.mark.parametrize(('at', 'seen'), [(4, 4), (5, 8), (9, 12)])
def test_interval(tmp_path, capsys, at, seen):
    cfg = toy_config(
        tmp_path,
        model=dict(poison=dict(loss=at)),
        **{
            'default_hooks.finite_loss.interval': 4,
            'default_hooks.checkpoint.interval': 100,
        },
    )
    # the weights are NaN from then on, and with them the loss
    line, runner = stopped(cfg, capsys)
    assert runner.iter + 1 == seen
    assert f'iteration {seen}: ' in line
    assert not list(tmp_path.glob('*.pth'))


def test_checkpoint_between_is_not_poisoned(tmp_path, capsys):
    cfg = toy_config(
        tmp_path,
        model=dict(poison=dict(loss=4)),
        **{'default_hooks.finite_loss.interval': 100},
    )
    line, _ = stopped(cfg, capsys)
    assert 'iteration 6: ' in line and 'tensors hold NaN' in line
    assert 'state_dict.linear.weight' in line
    assert [p.name for p in tmp_path.glob('*.pth')] == ['iter_3.pth']
    assert all_finite(tmp_path)


def test_weights_overflow_with_a_finite_loss(tmp_path, capsys):
    cfg = toy_config(tmp_path, model=dict(poison=dict(weight=6)))
    line, _ = stopped(cfg, capsys)
    assert 'iteration 6: ' in line and 'state_dict.linear.bias' in line
    assert [p.name for p in tmp_path.glob('*.pth')] == ['iter_3.pth']


def test_infinite_buffers_that_are_meant(tmp_path, capsys):
    """A mask of -inf is saved; a buffer that becomes infinite is not."""
    runner = Runner.from_cfg(toy_config(tmp_path))
    mask = torch.full((3,), -torch.inf)
    runner.model.register_buffer('mask', mask)
    runner.train()
    saved = read_checkpoint(str(tmp_path / 'iter_12.pth'))
    assert saved['state_dict']['mask'].equal(mask)
    runner.model.norm.running_mean[0] = torch.inf
    with pytest.raises(SystemExit):
        runner.save_checkpoint(str(tmp_path), 'bad.pth')
    assert 'state_dict.norm.running_mean' in capsys.readouterr().err
    assert not (tmp_path / 'bad.pth').exists()


@pytest.mark.parametrize(
    ('losses', 'looks'),
    [
        (dict(loss_a=1.0, loss_b=-2.0, loss=-1.0), 1),
        (dict(loss_a=3e38, loss_b=3e38), 3),  # their sum alone is infinite
        (dict(acc=math.inf), 0),
        ({}, 0),
    ],
)
@pytest.mark.parametrize(
    'device', ['cpu', pytest.param('cuda', marks=pytest.mark.gpu)]
)
def test_finite_losses_are_looked_at_once(tmp_path, losses, looks, device):
    runner = Runner.from_cfg(toy_config(tmp_path))
    outputs = {n: torch.tensor(v, device=device) for n, v in losses.items()}
    assert runner.train_loop.iter == 0  # built, which upstream does late
    with Syncs() as syncs:
        FiniteLossHook().after_train_iter(runner, 0, outputs=outputs)
    assert syncs.counts.total() == looks


def test_terms_that_cancel_out(tmp_path, capsys):
    runner = Runner.from_cfg(toy_config(tmp_path))
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    terms = dict(a=math.inf, b=-math.inf, c=1.0)
    outputs = {f'loss_{n}': torch.tensor(v) for n, v in terms.items()}
    with pytest.raises(SystemExit):
        FiniteLossHook().after_train_iter(runner, 0, outputs=outputs)
    line = capsys.readouterr().err
    assert line.startswith('error: iteration 1: loss_a=inf, loss_b=-inf; ')


@pytest.mark.parametrize('interval', [0, -1, 1.5, True, None])
def test_interval_out_of_range(tmp_path, interval):
    cfg = toy_config(tmp_path)
    cfg.default_hooks.finite_loss.interval = interval
    with pytest.raises(ValueError, match=f'interval={interval}.*at least 1'):
        Runner.from_cfg(cfg)


@pytest.mark.slow
def test_detector(tmp_path):
    cfg = trainings.small_config(
        tmp_path, **{'optim_wrapper.optimizer.lr': 1e6}
    )
    assert trainings.train(cfg) == 1, trainings.output_of(cfg)
    (line,) = trainings.errors_of(cfg)
    assert re.match(r'error: iteration \d+: .*(nan|inf|NaN)', line)
    assert line.count('/images/') == 2
    assert 'Traceback' not in trainings.output_of(cfg)
    for path in Path(cfg.work_dir).glob('*.pth'):
        state = trainings.state_of(path).values()
        tensors = [v for v in state if isinstance(v, torch.Tensor)]
        assert all(torch.isfinite(tensor).all() for tensor in tensors)
