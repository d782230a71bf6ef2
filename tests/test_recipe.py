"""D2Go's recipe: learning rates, weight decay, the average of weights."""

import copy
import json
import math
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS, init_default_scope
from mmengine.runner import Runner
from trainings import PROCESSES, finish

from fbnetv3_mmdet import D2GoEMAHook
from fbnetv3_mmdet.checkpoints import from_d2go, load_safely

FOLDER = Path(__file__).parents[1] / 'configs/fbnetv3'
C4 = 'faster-rcnn_fbnetv3-a-dsmask-c4_8xb4-540k_coco'
FPN = 'mask-rcnn_fbnetv3-g-fpn_8xb4-450k_coco'
# The gradient of a norm's shift is 0 here, and comes out as 1e-17.
CLOSE = dict(rtol=1e-6, atol=1e-12)


def load(name):
    return Config.fromfile(FOLDER / f'{name}.py')


def reference_rate(i, num_iters):
    """Return the rate of SPEC.md, section 3."""

    def cosine(i):
        return 0.5 * (1 + math.cos(math.pi * i / num_iters))

    if i < 1000:
        return 0.16 * (0.001 + (cosine(1000) - 0.001) * i / 1000)
    return 0.16 * cosine(i)


@pytest.mark.parametrize(
    ('name', 'num_iters'), [(C4, 540_000), (FPN, 450_000)]
)
def test_learning_rate_is_the_references(name, num_iters):
    cfg = load(name)
    assert cfg.train_cfg.max_iters == num_iters
    for start in (0, num_iters // 3, num_iters - 2000):
        rates = rates_from(start, cfg.param_scheduler, num_iters)
        theirs = [reference_rate(start + i, num_iters) for i in range(2000)]
        # Warm-up ends at the cosine's value there; ours is multiplied with it.
        warm = max(1000 - start, 0)
        assert rates[:warm] == pytest.approx(theirs[:warm], rel=1.5e-5)
        assert rates[warm:] == pytest.approx(theirs[warm:], rel=1e-10)


def rates_from(start, param_scheduler, num_iters):
    """Return the rates of 2000 iterations, as if resumed at the first."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.16)
    schedulers = [
        PARAM_SCHEDULERS.build(dict(scheduler, optimizer=optimizer))
        for scheduler in param_scheduler
    ]
    optimizer.step()
    if start:
        optimizer.param_groups[0]['lr'] = reference_rate(start, num_iters)
        for scheduler in schedulers:
            scheduler.load_state_dict(
                dict(last_step=start, _global_step=start)
            )
    rates = []
    for _ in range(2000):
        rates.append(optimizer.param_groups[0]['lr'])
        for scheduler in schedulers:
            scheduler.step()
    return rates


@pytest.mark.parity
def test_rates_and_weight_decay_are_the_recorded_ones(shared):
    log = json.loads(
        (shared / 'd2go/faster_rcnn_fbnetv3a_dsmask_C4.train.json').read_text()
    )
    for step in log['losses_per_step']:
        rate = reference_rate(step['iter'], 540_000)
        assert rate == pytest.approx(step['lr'], rel=1e-12)
    init_default_scope('mmdet')
    cfg = load(C4)
    model = MODELS.build(cfg.model)
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    names = {id(param): name for name, param in model.named_parameters()}
    settings = ('weight_decay', 'momentum', 'dampening', 'nesterov')
    ours = {
        names[id(param)]: (group['lr'], *(group[key] for key in settings))
        for group in optimizer.param_groups
        for param in group['params']
    }
    theirs = {
        name: (group['initial_lr'], *(group[key] for key in settings))
        for group in log['param_groups']
        for name in group['names']
    }
    assert ours == from_d2go(theirs)


class Toy(BaseModel):
    """Parameters, running statistics and a count, and all they have been."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 3)
        self.norm = torch.nn.BatchNorm2d(4)
        self.history = []

    def init_weights(self):
        torch.nn.init.constant_(self.conv.weight, 0.1)
        self.norm.num_batches_tracked.fill_(10_000)

    def forward(self, x, mode):
        return dict(loss=self.norm(self.conv(x)).square().mean())

    def train_step(self, data, optim_wrapper):
        self.history.append(copy.deepcopy(self.state_dict()))
        return super().train_step(data, optim_wrapper)


def train(work_dir, num_iters, **options):
    """Train in a process of its own, as runs that follow each other do.

    Args:
        work_dir (Path): Where to.
        num_iters (int): How many iterations.
        **options: Of the runner.

    Returns:
        list, dict: The model's weights before each iteration and after the
        last one; their average.
    """
    args = str(work_dir), num_iters, options
    process = PROCESSES.Process(target=_train, args=args)
    process.start()
    assert finish(process) == 0
    return torch.load(f'{work_dir}/result.pth')


def _train(work_dir, num_iters, options):
    load_safely()  # torch refuses MMEngine's checkpoints otherwise
    torch.manual_seed(0)
    runner = Runner(
        Toy(),
        work_dir,
        train_dataloader=dict(
            batch_size=2,
            sampler=dict(type='InfiniteSampler', shuffle=False),
            dataset=[dict(x=x) for x in torch.randn(2, 3, 6, 6)],
            collate_fn=dict(type='default_collate'),
        ),
        train_cfg=dict(by_epoch=False, max_iters=num_iters),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        custom_hooks=load(C4).custom_hooks,
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=1)
        ),
        **options,
    )
    runner.train()
    (hook,) = [h for h in runner.hooks if isinstance(h, D2GoEMAHook)]
    history = [*runner.model.history, runner.model.state_dict()]
    average = hook.ema_model.module.state_dict()
    torch.save((history, average), f'{work_dir}/result.pth')


def test_average_starts_with_the_initial_weights(tmp_path):
    history, average = train(tmp_path, 3)
    first, *others = history
    assert len(others) == 3
    assert (first['conv.weight'] == 0.1).all()
    for name, value in first.items():
        for other in others:
            value = 0.9998 * value + 0.0002 * other[name]
            value = value.to(other[name].dtype)  # an integer is cut off
        torch.testing.assert_close(average[name], value, **CLOSE)
    assert others[-1]['norm.num_batches_tracked'] == 10_003
    assert average['norm.num_batches_tracked'] == 10_000


def test_average_continues_where_a_run_is_resumed(tmp_path):
    _, expected = train(tmp_path / 'whole', 4)
    train(tmp_path / 'parts', 2)
    history, average = train(tmp_path / 'parts', 4, resume=True)
    assert len(history) == 3
    for name, value in expected.items():
        torch.testing.assert_close(average[name], value, **CLOSE)


def test_average_starts_with_a_checkpoint_of_weights_alone(tmp_path):
    weights = Toy().state_dict()
    torch.save(weights, tmp_path / 'weights.pth')
    history, average = train(
        tmp_path, 1, load_from=str(tmp_path / 'weights.pth')
    )
    first, last = history
    for name, value in weights.items():
        assert torch.equal(first[name], value)
        value = (0.9998 * value + 0.0002 * last[name]).to(last[name].dtype)
        torch.testing.assert_close(average[name], value, **CLOSE)
