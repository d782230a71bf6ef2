"""Runs a search: what to try next, what it costs, its training, its result."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .budget import count_trained, further_seeds, seconds_left
from .files import Files
from .jobs import Job, Processes, last_lines
from .limits import Meter, meets
from .nars import next_requests
from .options import Cluster, Options
from .records import Request
from .results import Result, as_job, as_result, in_words, read_result
from .space import Space
from .state import State
from .summary import best_of, results_of

ATTEMPTS = 3  # of a training that crashes


class Search:
    """A search in its folder.

    Args:
        options: Of the search.
        space: Of the candidates.
        files: Of the trials.
        meter: Of their costs.
        state: What has been found.
        say: Is given a line for the user.
        conclude: Is called after each batch, with the limit in numbers.
    """

    def __init__(
        self,
        options: Options,
        space: Space,
        files: Files,
        meter: Meter,
        state: State,
        say: Callable[[str], None],
        conclude: Callable[[Options], None],
    ) -> None:
        self._options, self._space = options, space
        self._files, self._meter, self._state = files, meter, state
        self._say, self._conclude = say, conclude
        self._slots = 1

    def run(self) -> None:
        """Do what is left to do.

        Raises:
            ValueError: The limit is met by nothing or by everything, a
                candidate is refused, or half of a batch failed.
        """
        limit = self._meter.limit()
        self._options = self._options._replace(limit=limit)
        with make_runner(self._options.cluster) as runner:
            self._slots = runner.slots
            self._conclude(self._options)
            while requests := self._next():
                self._files.write(requests)
                self._meter.measure(requests)
                self._train(requests, runner)
                self._count_slots(runner)
                self._conclude(self._options)

    def _count_slots(self, runner: Any) -> None:
        if runner.slots < self._slots:
            self._say(
                f'{runner.slots} trainings at a time, not {self._slots}: '
                f'there is no {runner.short_of} for more'
            )
        self._slots = runner.slots

    def _next(self) -> list[Request]:
        """Return the requests that have no result yet, or ask for more."""
        if waiting := self._state.waiting():
            return waiting
        options = self._within_hours()
        requests = next_requests(self._state.trials(), self._space, options)
        if requests:
            self._state.add('batch', requests=requests)
        return requests

    def _within_hours(self) -> Options:
        """Return the options, without further candidates when time is up."""
        options, results = self._options, self._state.of('result')
        if options.hours is None or not results:
            return options
        if not self._state.of('enough'):
            spent = sum(result['seconds'] for result in results)
            whole = max(result['seconds'] for result in results)
            left = options.finalists * options.seeds + options.batch
            needed = math.ceil(left / self._slots) * whole
            if spent / self._slots + needed < 3600 * options.hours:
                return options
            self._state.add('enough', trials=count_trained(results))
            self._say(f'{options.hours} h: no further candidates')
        trials = self._state.of('enough')[-1]['trials']
        return options._replace(trials=min(trials, options.trials))

    def _train(self, requests: Sequence[Request], runner: Any) -> None:
        """Train what is within the limit; add the results."""
        asked = {request.number: request for request in requests}
        begun = {trial.number for trial in self._state.trials()}
        results = self._without_training(requests)
        jobs = [
            as_job(request, number in begun, self._files, self._options)
            for number, request in asked.items()
            if number not in results
        ]
        spent = dict.fromkeys(asked, 0.0)
        for _ in range(ATTEMPTS):
            failed = []
            for job, ended in runner.run(jobs):
                spent[job.number] += ended.seconds
                found = read_result(
                    asked[job.number],
                    ended.status,
                    self._files,
                    self._options.metric,
                )
                if found:
                    found['seconds'] = round(spent[job.number], 1)
                    results[job.number] = found
                    self._report(found)
                    self._add(requests, results)
                else:
                    failed.append(job)
            jobs = failed
        self._check_failed(jobs, len(requests))
        for job in jobs:
            results[job.number] = as_result(asked[job.number], 'failed')
            self._report(results[job.number])
        self._add(requests, results)

    def _without_training(
        self, requests: Sequence[Request]
    ) -> dict[int, Result]:
        """Return the results of what need not be trained, or must not be."""
        results = {}
        for request in requests:
            costs = self._state.costs(request.number) or {}
            compared = request.candidate == self._space.baseline
            if not compared and not meets(self._options.limit, costs):
                results[request.number] = as_result(request, 'over')
            elif not request.iterations:
                results[request.number] = as_result(request, 'done')
        for result in results.values():
            self._report(result)
        return results

    def _add(
        self, requests: Sequence[Request], results: Mapping[int, Result]
    ) -> None:
        """Add results in the order of the requests, as far as there are."""
        waiting = self._state.waiting()
        for request in requests:
            if request.number not in results:
                return
            if request in waiting:
                self._state.add('result', **results[request.number])

    def _check_failed(self, failed: Sequence[Job], count: int) -> None:
        if failed and 2 * len(failed) >= count:
            folder = self._files.work_dir(failed[0].number)
            raise ValueError(
                f'{len(failed)} of {count} trainings of a batch failed '
                f'{ATTEMPTS} times; {folder} ended with: '
                f'{last_lines(folder)}; the same command tries them again'
            )

    def _report(self, result: Result) -> None:
        """Say what came of a trial, the best so far and the time left."""
        costs = self._state.costs(result['number']) or {}
        events = [*self._state.of('result'), result]
        total = self._options.trials + further_seeds(self._options)
        hours = seconds_left(events, self._options, self._slots) / 3600
        self._say(
            f'{in_words(result, costs)} | {self._best()}'
            f'{count_trained(events)} of {total}, {hours:.1f} h left'
        )

    def _best(self) -> str:
        length = self._options.length
        results = results_of(self._state.trials(), length)
        best = best_of(results, self._options)
        return f'best t{best.number:03d} {best.mean:.3f} | ' if best else ''


def make_runner(cluster: Cluster) -> Any:
    """Return what runs jobs: processes of this machine, or tasks of Ray."""
    if cluster.address is None and not cluster.gpus:
        return Processes(cluster.cpus)
    from .cluster import RayTasks

    return RayTasks(cluster)
