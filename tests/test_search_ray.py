"""Trainings of a search as tasks of Ray."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from fbnetv3_mmdet.search import jobs
from fbnetv3_mmdet.search.cluster import RayTasks
from fbnetv3_mmdet.search.jobs import Job
from fbnetv3_mmdet.search.options import Cluster

cluster_utils = pytest.importorskip('ray.cluster_utils')
pytestmark = [pytest.mark.slow, pytest.mark.same_on_upstream]

TRAINER = Path(__file__).with_name('search_trainer.py')


def test_trainings_of_a_lost_worker_go_on(tmp_path, monkeypatch):
    monkeypatch.setenv('PAUSE', '0.1')  # s an iteration: none ends unkilled
    wanted = _trainings(tmp_path, monkeypatch)
    killer = threading.Thread(target=_kill_worker, args=(tmp_path / 't0',))
    with RayTasks(Cluster()) as runner:  # which takes a minute at times
        killer.start()
        assert runner.slots == jobs.cores()
        ended = {j.number: end.status for j, end in runner.run(wanted)}
    killer.join()
    assert ended == dict.fromkeys(range(4), 0)
    assert {_iterations(tmp_path / f't{n}') for n in range(4)} == {'300'}
    # the one whose worker was killed began twice, and not anew
    runs = sorted((tmp_path / 't0').glob('run*/vis_data/scalars.json'))
    counts = [len(path.read_text().splitlines()) for path in runs]
    assert len(counts) == 2 and counts[0] < 12


def _trainings(folder, monkeypatch):
    """Return four quick trainings."""
    monkeypatch.setattr(jobs, 'TRAIN', (sys.executable, str(TRAINER)))
    settings = {'train_cfg.val_begin': '300', 'train_cfg.val_interval': '50'}
    for number in range(4):
        (folder / f't{number}.py').write_text("optimizer = {'lr': 0.04}")
    return [
        Job(n, str(folder / f't{n}.py'), str(folder / f't{n}'), settings)
        for n in range(4)
    ]


def _iterations(folder):
    return (folder / 'iter.txt').read_text()


def _kill_worker(folder):
    """Kill the worker of Ray that runs a training, once it has begun."""
    end = time.monotonic() + 120
    while not (folder / 'iter.txt').exists() and time.monotonic() < end:
        time.sleep(0.01)
    os.kill(int((folder / 'parent.txt').read_text()), signal.SIGKILL)


def test_trainings_of_a_lost_machine_go_on_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv('PAUSE', '0.3')  # s an iteration: four s a training
    trainings = _trainings(tmp_path, monkeypatch)
    machines = cluster_utils.Cluster(
        initialize_head=True, head_node_args=dict(num_cpus=1)
    )
    try:
        other = machines.add_node(num_cpus=1)
        machines.wait_for_nodes()
        with RayTasks(Cluster(machines.address)) as runner:
            assert runner.slots == 2
            begun = tmp_path / 't1/iter.txt', tmp_path / 't0/iter.txt'
            killer = threading.Thread(
                target=_lose, args=(machines, other, begun)
            )
            killer.start()
            ended = {j.number: e.status for j, e in runner.run(trainings)}
        killer.join()
    finally:
        machines.shutdown()
    assert ended == dict.fromkeys(range(4), 0)
    assert {_iterations(tmp_path / f't{n}') for n in range(4)} == {'300'}


def _lose(machines, node, begun):
    while not all(path.exists() for path in begun):
        time.sleep(0.1)
    machines.remove_node(node, allow_graceful=False)
