"""Measure training on a GPU: images a second, and what a step waits for.

It trains the demo's detector with all hooks of its config, in float32 and in
mixed precision (AMP). The share outside of kernels is that of a step in which
the GPU computes and copies nothing: it waits for Python, or for data. Images
are drawn scenes; nothing is downloaded.

Run it from the root of the checkout:
    python -m benchmarks.gpu
    python -m benchmarks.gpu --batch-size 64
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmengine.device import get_device
from mmengine.hooks import Hook
from mmengine.runner import Runner
from terminaltables import GithubFlavoredMarkdownTable
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

import fbnetv3_mmdet  # noqa: F401  MMDetection needs its mmcv.ops
from fbnetv3_mmdet.cli import AMP, build_runner, load_config
from fbnetv3_mmdet.errors import user_errors

from .processes import ROOT

CONFIG = ROOT / 'configs/fbnetv3' / (
    'faster-rcnn_fbnetv3-a-dsmask-c4_1xb4-2k_digits.py'
)  # fmt: skip
WARM_UP = 10  # iterations


class Figures(NamedTuple):
    """What was measured of a training.

    Attributes:
        step: Seconds of an iteration.
        kernels: Seconds of it in which the device works.
    """

    step: float
    kernels: float


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    with user_errors():
        args = _parse(argv)
        device = get_device()
        if device != 'cuda' and not args.any_device:
            raise ValueError(
                'benchmarks.gpu needs a CUDA device, and PyTorch finds none '
                f'here, only {device!r}; --any-device measures there'
            )
        table = [['device', 'precision', 'batch', 'images/s', 'ms a step']]
        table[0] += ['outside of kernels']
        name = torch.cuda.get_device_name() if device == 'cuda' else device
        settings = {'float32': {}}
        if device == 'cuda':
            settings['AMP'] = AMP
        for precision, options in settings.items():
            step, kernels = train(args.batch_size, args.steps, options)
            table.append([name, precision, str(args.batch_size)])
            table[-1] += [f'{args.batch_size / step:.1f}', f'{1e3 * step:.1f}']
            table[-1] += [f'{max(0, 1 - kernels / step):.0%}']
        print(GithubFlavoredMarkdownTable(table).table)


def train(batch_size: int, steps: int, options: dict) -> Figures:
    """Train, time some iterations, and profile as many others.

    Args:
        batch_size: Images of an iteration.
        steps: How many iterations to time.
        options: Settings by dotted path.
    """
    with tempfile.TemporaryDirectory() as folder:
        cfg = load_config(
            str(CONFIG),
            {
                'train_cfg.max_iters': WARM_UP + 2 * steps,
                'train_dataloader.batch_size': batch_size,
                'train_dataloader.dataset.data_root': f'{folder}/data',
                'train_dataloader.dataset.num_images': 2 * batch_size,
                'val_cfg': None,
                'val_dataloader': None,
                'val_evaluator': None,
                **options,
            },
        )
        cfg.work_dir, cfg.launcher = f'{folder}/work', 'none'
        runner = build_runner(cfg)
        clock = _Clock(steps)
        runner.register_hook(clock)
        runner.train()
    return clock.figures()


class _Clock(Hook):
    """Times iterations, and then profiles as many."""

    priority = 'LOWEST'

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._times: list[float] = []
        kinds = [ProfilerActivity.CPU]
        if get_device() == 'cuda':
            kinds = [ProfilerActivity.CUDA]
        self._profile = profile(activities=kinds)

    def after_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        done = runner.iter + 1 - WARM_UP
        if done not in (0, self._steps, 2 * self._steps):
            return
        if get_device() == 'cuda':
            torch.cuda.synchronize()
        self._times.append(time.perf_counter())
        if done == self._steps:
            self._profile.start()
        elif done:
            self._profile.stop()

    def figures(self) -> Figures:
        """Return what was measured, when it has ended."""
        begun, ended, _ = self._times
        if get_device() == 'cuda':
            times = [
                event.self_device_time_total
                for event in self._profile.key_averages()
                if event.device_type == DeviceType.CUDA
            ]
        else:
            averages = self._profile.key_averages()
            times = [event.self_cpu_time_total for event in averages]
        microseconds = sum(times) / self._steps
        return Figures((ended - begun) / self._steps, microseconds / 1e6)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks.gpu',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add('--batch-size', type=int, default=16, metavar='N', help='(default 16)')
    add('--steps', type=int, default=50, metavar='N', help='(default 50)')
    add(
        '--any-device',
        action='store_true',
        help='measure on whatever there is; a CPU in float32 only',
    )
    return parser.parse_args(argv)


if __name__ == '__main__':
    main()
