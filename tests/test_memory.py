"""A training holds the memory that it held after 300 iterations.

As a script it trains the demo itself, with ``WORK_DIR`` as its argument.
"""

import json
import sys
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from thorough import amount
from trainings import DIGITS, finish, output_of, small_config, start

TINY = 'FBNetV3_A_dsmask_tiny'
LAST = amount(900, 3000)
LENGTH = dict(max_iters=LAST, val_interval=100)
SCHEDULE = dict(T_max=LAST, end=LAST)
SETTLED = 300  # iterations, among them evaluations and checkpoints
GROWTH = 1.05


@HOOKS.register_module()
class MemoryHook(Hook):
    """Write down what memory the process and its loaders' workers hold.

    MiB in ``memory.jsonl`` of the work dir: ``rss`` of the process, and
    ``workers``, what they hold beside what they share with it.

    Args:
        interval (int): In iterations.
    """

    priority = 'LOWEST'

    def __init__(self, interval=100):
        self.interval = interval

    def after_train_iter(self, runner, *args, **kwargs):
        if self.every_n_train_iters(runner, self.interval):
            workers = children()
            record = dict(
                iter=runner.iter + 1,
                rss=memory('self', 'Rss'),
                count=len(workers),
                workers=sum(memory(pid, 'Private') for pid in workers),
            )
            with open(Path(runner.work_dir, 'memory.jsonl'), 'a') as file:
                file.write(json.dumps(record) + '\n')


def memory(pid, kind):
    """Return the MiB of a process, of all kinds that begin so."""
    lines = Path('/proc', str(pid), 'smaps_rollup').read_text().splitlines()
    found = [line.split()[1] for line in lines if line.startswith(kind)]
    return sum(map(int, found)) / 1024


def children():
    tasks = Path('/proc/self/task').glob('*/children')
    return [int(child) for task in tasks for child in task.read_text().split()]


def records_of(work_dir):
    lines = Path(work_dir, 'memory.jsonl').read_text().splitlines()
    return [json.loads(line) for line in lines]


def know_the_hook():
    """Have a process import this module."""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != 'linux', reason='it reads /proc')
def test_memory_does_not_grow(tmp_path):
    cfg = small_config(
        tmp_path,
        **{
            'model.backbone.arch': TINY,
            'model.rpn_head.arch': TINY,
            'model.roi_head.shared_head.arch': TINY,
            'train_dataloader.batch_size': 1,
            'train_dataloader.num_workers': 1,
            'train_dataloader.persistent_workers': True,
            'val_dataloader.num_workers': 1,
            'val_dataloader.persistent_workers': True,
            'train_cfg': LENGTH,
            'param_scheduler.1': SCHEDULE,
            'default_hooks': dict(
                logger=dict(interval=20),
                checkpoint=dict(interval=100),
                memory=dict(type='MemoryHook'),
            ),
        },
    )
    resize = cfg.train_dataloader.dataset.pipeline[2]
    resize['scale'] = [(48, 34), (96, 68)]
    process = start(cfg, know_the_hook)
    try:
        assert finish(process, timeout=1500) == 0, output_of(cfg)
    finally:
        process.kill()
    records = {r['iter']: r for r in records_of(cfg.work_dir)}
    settled, last = records[SETTLED], records[LAST]
    assert settled['count'] == last['count'] == 2
    assert last['rss'] <= GROWTH * settled['rss'], records
    whole = [record['rss'] + record['workers'] for record in (settled, last)]
    assert whole[1] <= GROWTH * whole[0], records


if __name__ == '__main__':
    demo = Config.fromfile(DIGITS)
    demo.merge_from_dict(
        {
            'work_dir': sys.argv[1],
            'train_cfg': dict(LENGTH, val_interval=250),
            'param_scheduler.1': SCHEDULE,
            'default_hooks.memory': dict(type='MemoryHook'),
        }
    )
    Runner.from_cfg(demo).train()
    for line in records_of(demo.work_dir):
        sys.stdout.write(f'{line}\n')
