"""Small trainings in processes of their own, which tests may kill.

The processes are forked from a server that has imported everything: one begins
to train within a second or two.
"""

import contextlib
import functools
import logging
import multiprocessing
import os
import socket
import time
import traceback
from pathlib import Path

import pytest
import torch
import toy  # noqa: F401  so that processes know it
import unformatted  # noqa: F401
from mmengine.config import Config

from fbnetv3_mmdet.checkpoints import read_checkpoint
from fbnetv3_mmdet.cli import build_runner
from fbnetv3_mmdet.training.logs import read_records

FOLDER = Path(__file__).parents[1] / 'configs/fbnetv3'
DIGITS = next(FOLDER.glob('faster-rcnn_*-a-dsmask-c4_*_digits.py'))
DIGITS_IS = next(FOLDER.glob('mask-rcnn_*-a-dsmask-c4_*_digits.py'))

PROCESSES = multiprocessing.get_context('forkserver')
PROCESSES.set_forkserver_preload(
    [
        'fbnetv3_mmdet',
        'mmengine.runner',
        'mmdet.datasets',
        'mmdet.engine',
        'mmdet.evaluation',
        'mmdet.models',
        'mmdet.visualization',
        'sklearn.datasets',  # of which scenes of digits are drawn
        'torchvision',
        'trainings',
    ]
)


def small_config(folder, *, config=DIGITS, **options):
    """Return the demo's config for a run of 12 iterations of 0.1 s each.

    Pictures are resized and flipped at random, and RoIs sampled.

    Args:
        folder (Path): Where to.
        config (Path): The demo's, or that with masks.
        **options: Settings by dotted path.
    """
    cfg = Config.fromfile(config)
    loader = dict(num_workers=0, persistent_workers=False)
    data = dict(data_root=str(folder / 'data'))
    changes = {
        'work_dir': str(folder / 'work'),
        'launcher': 'none',
        'train_cfg': dict(max_iters=12, val_interval=6),
        'train_dataloader': dict(
            loader,
            batch_size=2,
            dataset=dict(data, num_images=10),
        ),
        'val_dataloader': dict(loader, dataset=dict(data, num_images=2)),
        'model.train_cfg': dict(
            rpn_proposal=dict(nms_pre=50, max_per_img=10),
            rcnn=dict(sampler=dict(num=4)),
        ),
        'model.test_cfg.rpn': dict(nms_pre=50, max_per_img=5),
        'default_hooks': dict(
            logger=dict(interval=1), checkpoint=dict(interval=2)
        ),
        # momentum moves weights enough in a few iterations
        'param_scheduler.0.end': 3,
        'param_scheduler.1': dict(T_max=12, end=12),
        **options,
    }
    for path, change in changes.items():
        cfg.merge_from_dict({path: change})
    cfg.train_dataloader.dataset.pipeline[2:2] = [
        dict(
            type='RandomResize',
            scale=[(64, 45), (128, 90)],
            keep_ratio=True,
            backend='pillow',
        ),
        dict(type='RandomFlip', prob=0.5),
    ]
    return cfg


def start(cfg, prepare=None):
    """Start a training; what it prints is added to its ``output.txt``.

    Args:
        cfg (Config): Of the training.
        prepare (callable): What the process is to call before.
    """
    args = (cfg.to_dict(), cfg.filename, _output(cfg), prepare)
    process = PROCESSES.Process(target=_train, args=args)
    process.start()
    return process


def finish(process, timeout=600):
    """Return the exit status of a process; negative: of which signal."""
    process.join(timeout)
    if process.exitcode is None:
        process.kill()
        pytest.fail(f'still runs after {timeout} s')
    return process.exitcode


def train(cfg, prepare=None):
    """Train to the end; return the exit status."""
    return finish(start(cfg, prepare))


def start_ranks(cfgs, prepare=None):
    """Start the processes of one training, each with its config.

    Their ``launcher`` is 'pytorch'; what they print goes to one file.
    """
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    place = dict(
        MASTER_ADDR='127.0.0.1', MASTER_PORT=port, WORLD_SIZE=len(cfgs)
    )
    return [
        start(
            cfg,
            functools.partial(
                _take_place, {**place, 'RANK': i, 'LOCAL_RANK': i}, prepare
            ),
        )
        for i, cfg in enumerate(cfgs)
    ]


def train_ranks(cfgs, prepare=None):
    """Train with a process for each config; return the exit statuses."""
    processes = start_ranks(cfgs, prepare)
    try:
        return [finish(process) for process in processes]
    finally:
        for process in processes:
            process.kill()


def wait_for(process, cfg, text):
    """Wait until a training has printed something."""
    while text not in output_of(cfg):
        assert process.is_alive(), output_of(cfg)
        time.sleep(0.02)


def output_of(cfg):
    """Return what the trainings of a config have printed."""
    path = _output(cfg)
    return path.read_text() if path.exists() else ''


def errors_of(cfg):
    lines = output_of(cfg).splitlines()
    return [line for line in lines if line.startswith('error: ')]


def _output(cfg):
    return Path(cfg.work_dir).with_name('output.txt')


def listen(runner):
    """Return the list of what a runner in this process will log.

    Its file is that of another, where both began within a second.
    """
    messages = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    runner.logger.addHandler(handler)
    return messages


def state_of(path):
    """Return all that a checkpoint holds by name, but for times and paths."""
    whole = read_checkpoint(str(path))
    parts = 'state_dict', 'ema_state_dict', 'optimizer', 'param_schedulers'
    return dict(_leaves({part: whole.get(part) for part in parts}))


def same(one, other):
    """Whether two states are equal bit for bit."""
    return one.keys() == other.keys() and all(
        torch.equal(value, other[name])
        if isinstance(value, torch.Tensor)
        else value == other[name]
        for name, value in one.items()
    )


def log_of(cfg):
    """Return all records of a run, but for what depends on the clock."""
    return [
        {key: record[key] for key in record if 'time' not in key}
        for record in read_records(Path(cfg.work_dir))
    ]


def _train(settings, filename, output, prepare):
    with (
        open(output, 'a') as file,
        contextlib.redirect_stdout(file),
        contextlib.redirect_stderr(file),
    ):
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        os.setsid()  # so that a test may kill the workers too
        torch.set_num_threads(1)
        try:
            if prepare is not None:
                prepare()
            cfg = Config(settings, filename=filename)
            runner = build_runner(cfg)
            runner.train() if cfg.get('train_cfg') else runner.test()
        except Exception:
            traceback.print_exc()
            raise


def _take_place(variables, prepare):
    os.environ.update({name: str(v) for name, v in variables.items()})
    if prepare is not None:
        prepare()


def _leaves(node, name=''):
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _leaves(value, f'{name}.{key}')
    elif isinstance(node, (list, tuple)):
        for i, value in enumerate(node):
            yield from _leaves(value, f'{name}.{i}')
    else:
        yield name, node
