"""Train many candidates of a space: the table that searches are replayed on.

    python -m benchmarks.search_trials --out table.jsonl --trials 160

Each line of the file is a training: the values of its genes, AP by iteration,
MACs, parameters and seconds. The same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fbnetv3_mmdet  # noqa: F401  MMDetection needs its mmcv.ops

# isort: split
import torch
from mmengine.config import Config
from mmengine.hooks import Hook

from fbnetv3_mmdet.cli import build_runner, load_config
from fbnetv3_mmdet.search.configs import value_at
from fbnetv3_mmdet.search.predictor import draw
from fbnetv3_mmdet.search.records import Candidate
from fbnetv3_mmdet.search.space import PROPOSALS, Space, make_space

ROOT = Path(__file__).parents[1]
CONFIG = (
    ROOT / 'configs/fbnetv3/'
    'faster-rcnn_fbnetv3-a-dsmask-tiny-c4_1xb4-300_digits-small.py'
)
SIZE = (112, 160)  # px, of its pictures
MACS = (30e6, 75e6)  # of a candidate's blocks; the baseline has 74.4 million
SAMPLER = 'model.train_cfg.rcnn.sampler'
RECIPE = {
    'optim_wrapper.optimizer.lr': dict(log=(0.01, 0.16)),
    'optim_wrapper.optimizer.weight_decay': dict(log=(1e-5, 1e-3)),
    'custom_hooks.0.momentum': [0.02, 0.05, 0.1],
    'param_scheduler.0.end': [10, 25, 50, 100],
    f'{SAMPLER}.num': [16, 32, 64],
    f'{SAMPLER}.pos_fraction': [0.25, 0.5],
    PROPOSALS: [10, 15, 20, 30],
}


def main() -> None:
    """Train what is not in the file yet, several at a time."""
    args = parse_args()
    cfg = load_config(str(CONFIG))
    space = read_space(cfg)
    done = set()
    if args.out.exists():
        rows = map(json.loads, args.out.read_text().splitlines())
        done = {(row['number'], row['seed']) for row in rows}
    torch.set_num_threads(1)  # before the fork, and in each process
    end = time.monotonic() + 3600 * args.hours
    waiting = [
        (cfg, space, *job, end)
        for job in jobs(space, args.trials, args.seeds)
        if job[1:] not in done
    ]
    # a process each: MMEngine keeps loggers and visualizers by name
    fork = multiprocessing.get_context('fork')
    with (
        fork.Pool(args.workers, maxtasksperchild=1) as pool,
        args.out.open('a') as file,
    ):
        for row in pool.imap_unordered(train, waiting):
            if row:
                file.write(json.dumps(row) + '\n')
                file.flush()
                print(row['number'], row['seed'], row['scores'], flush=True)


def parse_args() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--out', type=Path, required=True, help='JSON Lines')
    parser.add_argument('--trials', type=int, default=160, help='candidates')
    parser.add_argument(
        '--seeds', type=int, default=12, help='candidates with three seeds'
    )
    parser.add_argument('--workers', type=int, default=os.cpu_count())
    parser.add_argument(
        '--hours', type=float, default=24, help='when to begin no more'
    )
    return parser.parse_args()


def read_space(cfg: Config) -> Space:
    """Return the space around the small training on DigitScenes."""
    values = {path: value_at(cfg, path) for path in RECIPE}
    return make_space(cfg.model.arch, RECIPE, values, SIZE, values[PROPOSALS])


def jobs(
    space: Space, trials: int, seeds: int
) -> Iterator[tuple[Candidate, int, int]]:
    """Yield candidates with their numbers and seeds.

    The baseline is first, then points of a Sobol sequence within the limits;
    the first of them have three seeds.
    """
    candidates = [space.baseline]
    for candidate in draw(space, 2**14, seed=0):
        if MACS[0] <= space.total(candidate).macs <= MACS[1]:
            candidates.append(candidate)
    for number, candidate in enumerate(candidates[:trials]):
        yield candidate, number, 0
    for number, candidate in enumerate(candidates[:seeds]):
        yield from ((candidate, number, seed) for seed in (1, 2))


def train(
    job: tuple[Config, Space, Candidate, int, int, float],
) -> dict[str, Any] | None:
    """Train a candidate and return its row, None where time is over."""
    cfg, space, candidate, number, seed, end = job
    if time.monotonic() > end:
        return None
    torch.set_num_threads(1)
    start = time.process_time()
    cfg = cfg.copy()
    settings = space.settings(candidate)
    cfg.model.arch = settings.pop('model.arch')
    cfg.merge_from_dict(
        settings | {'randomness.seed': seed, 'log_level': 'ERROR'}
    )
    cfg.launcher = 'none'
    cfg.default_hooks.checkpoint.interval = 10**6
    scores: dict[int, float] = {}
    status = 'done'
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        cfg.work_dir = folder
        with open(os.devnull, 'w') as null:
            os.dup2(null.fileno(), 1)  # pycocotools prints
        runner = build_runner(cfg)
        runner.register_hook(_Scores(scores))
        try:
            runner.train()
        except SystemExit:  # a loss was not finite, and a line said so
            status = 'nan'
    cost = space.total(candidate)
    return dict(
        number=number,
        seed=seed,
        candidate=candidate,
        scores=scores,
        status=status,
        macs=cost.macs,
        params=cost.params,
        seconds=round(time.process_time() - start, 1),
    )


class _Scores(Hook):
    """Keeps the AP of each evaluation."""

    def __init__(self, scores: dict[int, float]) -> None:
        self.scores = scores

    def after_val_epoch(self, runner, metrics=None) -> None:
        """Keep this one's."""
        # CocoMetric gives nothing where nothing was detected
        self.scores[runner.iter] = metrics.get('coco/bbox_mAP', 0.0)


if __name__ == '__main__':
    main()
