"""Trainings as tasks of Ray: on a cluster, or on GPUs by fraction.

Of Ray, tasks alone are used. A task starts the same process that a search
without Ray starts, and returns how it ended.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any

from ..errors import text_of
from . import jobs
from .jobs import Ended, Job
from .options import Cluster

RETRIES = 3  # of a task whose worker or machine was lost
LOST = -1  # status of a job whose workers were lost time and again
SAVE = 60  # s, in which trainings save when the search is stopped
_REMEDY = (
    'install it with pip install "mmdet-fbnetv3[search]", or leave '
    'search.cluster out for processes on this machine'
)


class RayTasks:
    """Runs jobs as tasks of Ray.

    Embedded, Ray listens on this machine's loopback alone. Its usage report
    is off.

    Args:
        cluster: Where, and what a job takes.

    Raises:
        ImportError: There is no Ray.
        ValueError: There is no cluster at the address, or it has not what
            one job takes.
    """

    def __init__(self, cluster: Cluster) -> None:
        os.environ['RAY_USAGE_STATS_ENABLED'] = '0'
        os.environ['RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO'] = '0'
        if cluster.address is None:  # a name for: loopback alone
            os.environ['RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER'] = '0'
        try:
            import ray
        except ImportError as error:
            raise ImportError(
                f'search.cluster={cluster._asdict()} needs Ray, which is '
                f'missing: {_REMEDY}'
            ) from error
        self._ray, self._cluster = ray, cluster
        embedded = dict(include_dashboard=False) if not cluster.address else {}
        try:
            ray.init(
                cluster.address or 'local',
                log_to_driver=False,
                logging_level='error',
                **embedded,
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise ValueError(
                f'search.cluster.address={cluster.address!r} cannot be '
                f'reached ({text_of(error)}); begin a cluster with ray start '
                '--head, or leave it out'
            ) from error
        # workers need not import MMDetection to start a process
        ray.cloudpickle.register_pickle_by_value(jobs)
        self._check()
        self._task = ray.remote(
            num_cpus=cluster.cpus,
            num_gpus=cluster.gpus,
            max_retries=RETRIES,
        )(jobs.finish)

    short_of = 'machines'  # where slots become fewer

    @property
    def slots(self) -> int:
        """How many jobs run at a time."""
        have = self._ray.cluster_resources()
        return max(1, int(min(have.get(k, 0) / n for k, n in self._wants())))

    def __enter__(self) -> RayTasks:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Have what still runs save and end."""
        self._ray.shutdown()

    def run(self, wanted: Sequence[Job]) -> Iterator[tuple[Job, Ended]]:
        """Run jobs; yield each when it has ended."""
        ray, cluster = self._ray, self._cluster
        running = {
            self._task.remote(job, cluster.cpus, cluster.gpus): job
            for job in wanted
        }
        try:
            while running:
                ready, _ = ray.wait([*running])
                for task in ready:
                    yield running.pop(task), self._result(task)
        finally:
            for task in running:
                ray.cancel(task)
            if running:
                ray.wait([*running], num_returns=len(running), timeout=SAVE)

    def _result(self, task: Any) -> Ended:
        try:
            return self._ray.get(task)
        except self._ray.exceptions.RayError:
            return Ended(LOST, 0.0)

    def _wants(self) -> list[tuple[str, float]]:
        wants = dict(CPU=self._cluster.cpus, GPU=self._cluster.gpus)
        return [(kind, number) for kind, number in wants.items() if number]

    def _check(self) -> None:
        have = self._ray.cluster_resources()
        for kind, number in self._wants():
            if have.get(kind, 0) < number:
                name = f'search.cluster.{kind.lower()}s'
                self._ray.shutdown()
                raise ValueError(
                    f'{name}={number} is more than there is, '
                    f'{have.get(kind, 0):g}; lower it'
                )
