"""A model and data that train in milliseconds, and draw random numbers."""

import random
import sys
import time
import uuid

import numpy as np
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, HOOKS, METRICS, MODELS
from mmengine.structures import BaseDataElement
from torch.utils.data import Dataset


@DATASETS.register_module()
class Noise(Dataset):
    """Eleven numbers, with noise of all three generators added.

    Args:
        bulk (int): Bytes that come with each, as masks do.
    """

    metainfo = dict(classes=('a',))

    def __init__(self, bulk=0):
        self.bulk = bulk

    def __len__(self):
        return 11

    def __getitem__(self, i):
        if not 0 <= i < len(self):
            raise IndexError(i)
        noise = random.random() + np.random.rand() + torch.rand(()).item()
        inputs = torch.tensor([float(i), noise])
        meta = dict(img_path=f'{i}.png', bulk=bytes(self.bulk))
        sample = BaseDataElement(metainfo=meta)
        return dict(inputs=inputs, data_samples=sample)


@MODELS.register_module()
class Toy(BaseModel):
    """A linear layer, a norm with running statistics, and dropout.

    Args:
        poison (dict): What becomes NaN when: 'loss' or 'weight', and the
            iteration, from 1; ``value`` is another for the loss.
        pause (float): Seconds to wait in each step.
        ballast (int): Bytes to carry around.
    """

    def __init__(self, poison=None, pause=0, ballast=0):
        super().__init__()
        self.register_buffer('ballast', torch.zeros(ballast, dtype=torch.int8))
        self.linear = torch.nn.Linear(2, 3)
        self.norm = torch.nn.BatchNorm1d(3)
        self.poison = poison or {}
        self.pause = pause
        self.done = 0

    def forward(self, inputs, data_samples=None, mode='tensor'):
        time.sleep(self.pause)
        features = self.norm(self.linear(torch.stack(inputs)))
        if mode == 'predict':
            return data_samples
        self.done += 1
        loss = torch.nn.functional.dropout(features, 0.5).square().mean()
        if self.poison.get('loss') == self.done:
            loss = loss * float(self.poison.get('value', 'nan'))
        if self.poison.get('weight') == self.done:
            self.linear.bias.data[0] = float('inf')
            loss = loss.detach().nan_to_num() + 0 * self.norm.weight.sum()
        return dict(loss_a=loss, loss_b=(features * 0.1).mean().nan_to_num())


@METRICS.register_module()
class Count(BaseMetric):
    """Number of samples seen."""

    def process(self, data_batch, data_samples):
        self.results += data_samples

    def compute_metrics(self, results):
        return dict(number=len(results))


@METRICS.register_module()
class Rising(Count):
    """``a`` is the number of the evaluation; ``b`` falls after the second."""

    def compute_metrics(self, results):
        self.evaluations = getattr(self, 'evaluations', 0) + 1
        return dict(a=self.evaluations, b=-abs(self.evaluations - 2))


@HOOKS.register_module()
class CrashHook(Hook):
    """Raise an error at the beginning of an iteration, counted from 0."""

    def __init__(self, at):
        self.at = at

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.at:
            raise RuntimeError('crash')


def toy_config(work_dir, *, by_epoch=False, **options):
    """Return the config of a run of 12 iterations, which saves every third.

    Args:
        work_dir (Path): Where to.
        by_epoch (bool): Train 3 epochs of 4 iterations, and save after each.
        **options: Settings by dotted path.
    """
    loader = dict(num_workers=0, dataset=dict(type='Noise'))
    sampler = 'DefaultSampler' if by_epoch else 'InfiniteSampler'
    length = dict(max_epochs=3) if by_epoch else dict(max_iters=12)
    cfg = Config(
        dict(
            default_scope='mmengine',
            work_dir=str(work_dir),
            launcher='none',
            # runs of one name and second share the history of their losses
            experiment_name=uuid.uuid4().hex,
            model=dict(type='Toy'),
            train_dataloader=dict(
                loader,
                batch_size=3,
                sampler=dict(type=sampler, shuffle=True),
            ),
            val_dataloader=dict(
                loader,
                batch_size=4,
                sampler=dict(type='DefaultSampler', shuffle=False),
            ),
            val_evaluator=dict(type='Count'),
            train_cfg=dict(by_epoch=by_epoch, val_interval=2, **length),
            val_cfg=dict(),
            optim_wrapper=dict(
                optimizer=dict(type='SGD', lr=0.1, momentum=0.9)
            ),
            param_scheduler=dict(type='LinearLR', by_epoch=False, end=20),
            custom_hooks=[dict(type='EMAHook', priority=49)],
            default_hooks=dict(
                logger=dict(
                    type='LoggerHook', interval=1, log_metric_by_epoch=by_epoch
                ),
                checkpoint=dict(
                    type='DurableCheckpointHook',
                    by_epoch=by_epoch,
                    interval=1 if by_epoch else 3,
                ),
                finite_loss=dict(type='FiniteLossHook'),
                stop_on_signal=dict(type='StopOnSignalHook'),
                exact_resume=dict(type='ExactResumeHook'),
            ),
            log_processor=dict(by_epoch=by_epoch),
            visualizer=dict(
                type='Visualizer', vis_backends=[dict(type='LocalVisBackend')]
            ),
        )
    )
    cfg.merge_from_dict(options)
    return cfg


if __name__ == '__main__':  # by torchrun: WORK_DIR [resume] [long]
    from fbnetv3_mmdet.cli import build_runner

    build_runner(
        toy_config(
            sys.argv[1],
            launcher='pytorch',
            model=dict(pause=0.2),
            resume='resume' in sys.argv,
            randomness=dict(seed=0),
            train_dataloader=dict(
                num_workers=1,
                dataset=dict(bulk=10**6),  # more than a pipe holds
            ),
            train_cfg=dict(max_iters=9999 if 'long' in sys.argv else 12),
        )
    ).train()
