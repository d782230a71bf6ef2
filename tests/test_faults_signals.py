"""SIGINT and SIGTERM: a checkpoint, a line, and a status that says so."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import toy
from mmengine.hooks import Hook
from mmengine.runner import Runner
from toy import toy_config
from trainings import (
    errors_of,
    finish,
    log_of,
    output_of,
    same,
    start,
    start_ranks,
    state_of,
    train,
    wait_for,
)

from fbnetv3_mmdet.training.faults import exchange

SEED = dict(seed=0)
FORK = multiprocessing.get_context('fork')


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    """State and log of a run that was not interrupted."""
    cfg = toy_config(tmp_path_factory.mktemp('whole'), randomness=SEED)
    Runner.from_cfg(cfg).train()
    return state_of(Path(cfg.work_dir, 'iter_12.pth')), log_of(cfg)


def resumes_as_if_nothing_had_been(cfg, whole):
    cfg.resume = True
    cfg.model.pause = 0
    assert train(cfg) == 0, output_of(cfg)
    state, log = whole
    assert same(state_of(Path(cfg.work_dir, 'iter_12.pth')), state)
    assert log_of(cfg) == log


# The second is of an evaluation, with averaged weights in the model.
@pytest.mark.parametrize(
    ('number', 'when', 'num_workers', 'saved'),
    [
        (signal.SIGTERM, 'Iter(train) [ 4/12]', 2, (4, 5)),
        (signal.SIGINT, 'Iter(val) [1/3]', 0, (2,)),
    ],
)
def test_signal(tmp_path, whole, number, when, num_workers, saved):
    cfg = toy_config(
        tmp_path / 'work',
        randomness=SEED,
        model=dict(pause=0.6),
        **{'train_dataloader.num_workers': num_workers},
    )
    process = start(cfg)
    wait_for(process, cfg, when)
    os.killpg(process.pid, number)  # the workers get it too
    assert finish(process) == 128 + number
    (line,) = errors_of(cfg)
    name = signal.Signals(number).name
    steps = {int(p.stem[5:]) for p in Path(cfg.work_dir).glob('iter_*')}
    assert line.startswith(f'error: stopped by {name}: iteration {max(steps)}')
    assert max(steps) in saved and f'iter_{max(steps)}.pth' in line
    assert 'Traceback' not in output_of(cfg)
    resumes_as_if_nothing_had_been(cfg, whole)


def test_signal_within_an_epoch(tmp_path):
    expected = toy_config(tmp_path / 'a/work', by_epoch=True, randomness=SEED)
    Runner.from_cfg(expected).train()
    cfg = toy_config(
        tmp_path / 'b/work',
        by_epoch=True,
        randomness=SEED,
        model=dict(pause=0.6),
    )
    (tmp_path / 'b').mkdir()
    process = start(cfg)
    wait_for(process, cfg, 'Epoch(train) [2][1/4]')
    process.terminate()
    assert finish(process) == 143
    assert list(Path(cfg.work_dir).glob('epoch_1_iter_[5-7].pth'))
    cfg.resume = True
    assert train(cfg) == 0, output_of(cfg)
    states = [
        state_of(Path(c.work_dir, 'epoch_3.pth')) for c in (cfg, expected)
    ]
    assert same(*states)


def test_second_signal_ends_at_once(tmp_path):
    cfg = toy_config(tmp_path / 'work', model=dict(pause=600))
    process = start(cfg)
    wait_for(process, cfg, 'schedule ')
    time.sleep(1)  # until in an iteration, which lasts ten minutes
    process.terminate()
    time.sleep(1.5)
    process.terminate()
    assert finish(process) == 143
    assert not list(tmp_path.rglob('*.pth'))


class PoolHook(Hook):
    """Use a pool in each iteration, as a metric may; it sends SIGTERM."""

    def before_train_iter(self, runner, *args, **kwargs):
        with FORK.Pool(3) as pool:
            assert pool.map(abs, [-1, -2]) == [1, 2]


def train_with_pools(work_dir):
    cfg = toy_config(work_dir, **{'train_dataloader.num_workers': 1})
    runner = Runner.from_cfg(cfg)
    runner.register_hook(PoolHook())
    runner.train()


@pytest.mark.same_on_upstream
def test_pools_of_processes_end(tmp_path):
    # a fork of this process may not train where it has trained already
    spawn = multiprocessing.get_context('spawn')
    process = spawn.Process(target=train_with_pools, args=(tmp_path,))
    process.start()
    assert finish(process, 120) == 0


def test_handlers_are_given_back(tmp_path):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    Runner.from_cfg(toy_config(tmp_path)).train()
    after = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    assert after == before


@pytest.mark.parametrize(
    ('done', 'seconds', 'following'),
    [
        (1, 30.0, 1),  # the first, or an evaluation in between
        (1, 0.1, 2),
        (8, 0.8, 10),
        (10, 1.0, 10),
        (10, 3.0, 3),
        (64, 1e-12, 128),
    ],
)
def test_iterations_until_signals_are_exchanged(done, seconds, following):
    assert exchange.next_interval(done, seconds) == following


def test_few_iterations_wait_for_all_processes(monkeypatch):
    monkeypatch.setattr(exchange, 'get_world_size', lambda: 2)
    told = exchange.Exchange()
    known = [told.after_iteration(signal.SIGTERM) for _ in range(64)]
    # these take no time: the interval doubles
    at = [i for i, number in enumerate(known, 1) if number == signal.SIGTERM]
    assert at == [1, 3, 7, 15, 31, 63]


@pytest.mark.slow
@pytest.mark.parametrize('evaluates', [False, True])
def test_signal_to_one_of_two_processes(tmp_path, evaluates):
    """The other one stops after the same iteration, or in the evaluation."""
    cfg = toy_config(
        tmp_path / 'work',
        launcher='pytorch',
        model=dict(pause=0.02),
        train_cfg=dict(max_iters=9999, val_interval=5 if evaluates else 9999),
    )
    processes = start_ranks([cfg, cfg])
    wait_for(processes[0], cfg, 'Iter(train) [  23/9999]')
    os.kill(processes[1].pid, signal.SIGTERM)
    assert [finish(process, 60) for process in processes] == [143, 143]
    (line,) = errors_of(cfg)
    assert 'stopped by SIGTERM' in line and 'is saved as' in line
    last = max(r['step'] for r in log_of(cfg) if 'iter' in r)
    assert Path(cfg.work_dir, f'iter_{last}.pth').exists()


@pytest.mark.slow
def test_two_processes_stop_together(tmp_path, whole):
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone']
    command += ['--nproc_per_node=2', toy.__file__, str(tmp_path / 'work')]
    root = str(Path(__file__).parents[1])
    env = os.environ | {'OMP_NUM_THREADS': '1', 'PYTHONPATH': root}
    output = tmp_path / 'output.txt'
    cfg = toy_config(tmp_path / 'work')
    with open(output, 'w') as file:
        process = subprocess.Popen(
            command, env=env, stdout=file, stderr=file, start_new_session=True
        )
    while 'Iter(train) [ 4/12]' not in output.read_text():
        assert process.poll() is None, output.read_text()
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C in a terminal does
    assert process.wait(120) != 0
    (line,) = errors_of(cfg)
    assert 'stopped by SIGINT' in line and 'is saved as' in line
    resumed = subprocess.run(
        [*command, 'resume'], env=env, capture_output=True, text=True
    )
    assert resumed.returncode == 0, resumed.stderr
    assert [r['step'] for r in log_of(cfg) if 'iter' in r] == [*range(1, 13)]
