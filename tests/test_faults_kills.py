"""A training that is killed again and again ends as if it never had been."""

import random
import time
from pathlib import Path

import pytest
from thorough import amount
from trainings import (
    finish,
    log_of,
    output_of,
    same,
    small_config,
    start,
    state_of,
    train,
)

MOMENTS = amount(
    ['iteration'] * 2 + ['writing'] * 3 + ['evaluation'],
    ['iteration'] * 12 + ['writing'] * 6 + ['evaluation'] * 4,
)
LENGTH = amount(40, 80)  # iterations, so many that each kill comes in time


def wait_for_moment(cfg, process, kind, moments):
    """Return when a process is to be killed."""
    before = len(output_of(cfg))
    wanted = moments.randint(0, 3)
    while process.is_alive():
        new = output_of(cfg)[before:]
        if kind == 'writing' and list(Path(cfg.work_dir).glob('.*.part*')):
            time.sleep(moments.uniform(0, 0.01))
            return
        if kind == 'iteration' and new.count('Iter(train)') > wanted:
            time.sleep(moments.uniform(0, 0.5))
            return
        if kind == 'evaluation' and 'Iter(val)' in new:
            time.sleep(moments.uniform(0, 0.1))
            return
        time.sleep(0.002)


@pytest.mark.slow
def test_kills(tmp_path):
    options = {
        'train_dataloader.num_workers': 2,
        'train_dataloader.persistent_workers': True,
        'train_cfg': dict(max_iters=LENGTH, val_interval=4),
        'param_scheduler.1': dict(T_max=LENGTH, end=LENGTH),
        'default_hooks.checkpoint.interval': 3,
        'randomness': dict(seed=0),
    }
    for name in 'ab':
        (tmp_path / name).mkdir()
    whole = small_config(tmp_path / 'a', **options)
    assert train(whole) == 0, output_of(whole)

    killed = small_config(tmp_path / 'b', resume=True, **options)
    moments = random.Random(2)
    kinds = moments.sample(MOMENTS, len(MOMENTS))
    kills, halves = 0, 0
    for kind in kinds:
        process = start(killed)
        wait_for_moment(killed, process, kind, moments)
        process.kill()
        kills += finish(process) == -9
        halves += len(list(Path(killed.work_dir).glob('.*.part*')))
    assert kills >= len(kinds) - 2
    assert halves, 'no checkpoint was being written in any kill'
    assert train(killed) == 0, output_of(killed)
    last = f'iter_{LENGTH}.pth'
    expected = state_of(Path(whole.work_dir, last))
    assert same(state_of(Path(killed.work_dir, last)), expected)
    assert log_of(killed) == log_of(whole)
