"""Writes the results of a search: configs, a table, pictures."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config

from ..files import complete_file
from .configs import write_config
from .files import Files
from .hindsight import predictions
from .names import BEST, CANDIDATES, FRONT, PICTURE, PREDICTIONS, TABLE
from .options import Options
from .plots import plot_front, plot_predictor
from .records import Candidate, Trial
from .results import figure
from .space import Space
from .state import State
from .summary import (
    Result,
    axis_of,
    best_of,
    correlations,
    front_of,
    is_better,
    rank_of,
    results_of,
)


class Report:
    """The results of a search, as files in its folder.

    Args:
        cfg: The user's config.
        options: Of the search, the limit in numbers.
        space: Of the candidates.
        files: Of the trials.
        state: What has been found.
    """

    def __init__(
        self,
        cfg: Config,
        options: Options,
        space: Space,
        files: Files,
        state: State,
    ) -> None:
        self._cfg, self._options, self._space = cfg, options, space
        self._files, self._state = files, state
        self._trials = state.trials()
        self._results = results_of(self._trials, options.length)
        self._axis = axis_of(options, self._results)
        self.best = best_of(self._results, options)
        self._pairs = predictions(self._trials, space, options)

    def write(self) -> None:
        """Write the configs, the table and the picture."""
        if not self._results:
            return
        folder = self._files.folder
        front = front_of(self._results, self._axis)
        names = {f't{result.number:03d}.py' for result in front}
        for result in front:
            self._write(f'{FRONT}/t{result.number:03d}.py', result)
        for path in (folder / FRONT).glob('t[0-9]*.py'):
            if path.name not in names:  # of the front before
                path.unlink()
        if self.best:
            self._write(BEST, self.best)
        with complete_file(folder / TABLE) as path:
            path.write_text('\n'.join(self._lines()) + '\n')
        with complete_file(folder / CANDIDATES) as path:
            path.write_text(json.dumps(self._candidates(front), indent=1))
        if self._axis:
            names = {c: name for name, c in self._space.family.items()}
            names[self._space.baseline] = 'baseline'
            picture = plot_front(
                self._results, self._axis, self._options, names
            )
            with complete_file(folder / PICTURE) as path:
                picture.savefig(path, dpi=150)

        if self._pairs:
            picture = plot_predictor(self._pairs, rank_of(self._pairs))
            with complete_file(folder / PREDICTIONS) as path:
                picture.savefig(path, dpi=150)

    def _write(self, name: str, result: Result) -> None:
        said = f'Trial {result.number} of a search, {_scores(result)}'
        path = self._files.folder / name
        settings = self._files.settings(result.candidate)
        write_config(path, self._cfg, settings, said)

    def _candidates(self, front: list[Result]) -> list[dict[str, Any]]:
        """Return what is known of each candidate, for other programs."""
        return [
            dict(
                number=result.number,
                config=os.path.relpath(
                    self._files.config(result.number), self._files.folder
                ),
                scores=result.scores,
                mean=result.mean,
                error=result.error,
                costs=result.costs,
                in_front=result in front,
                changes=self._said(result.candidate),
            )
            for result in self._results
        ]

    def _lines(self) -> Iterator[str]:
        """Yield the lines of the table's file."""
        yield f'# Search of {self._cfg.filename}\n'
        yield from self._conclusion()
        yield '\n## Trials\n'
        yield from self._table()
        yield '\n## What it took\n'
        yield from self._budget()
        if self._pairs:
            yield '\n## Predictions\n'
            yield (
                f'AP predicted before the training ranks {len(self._pairs)} '
                f'trials as that found does to {rank_of(self._pairs):.2f} '
                '(Spearman).'
            )
        found = correlations(self._trials, self._options)
        if found:
            yield '\n## Early ranks\n'
        for rung, (value, count) in found.items():
            yield (
                f'- AP after {rung} iterations ranks {count} trials as that '
                f'after {self._options.length} does to {value:.2f} (Spearman)'
            )

    def _conclusion(self) -> Iterator[str]:
        best, base = self.best, self._baseline()
        if best is None:
            yield 'No candidate within the limit has been trained to its end.'
            return
        yield f'Best within the limit: t{best.number:03d}, {_scores(best)},'
        yield f'{_costs(best)}; it changes {self._said(best.candidate)}.'
        if base and base.candidate != best.candidate:
            better = is_better(best, base)
            words = {
                True: 'better by more than two standard errors',
                False: 'not better by two standard errors',
                None: 'not compared, which takes several seeds',
            }
            yield f'The baseline has {_scores(base)}, {_costs(base)}:'
            yield f'the AP of the best is {words[better]}.'
        yield (
            '\nThe best of many is also the luckiest: AP on pictures that the '
            'search has not seen is lower.'
        )

    def _baseline(self) -> Result | None:
        same = [
            r for r in self._results if r.candidate == self._space.baseline
        ]
        return same[0] if same else None

    def _table(self) -> Iterator[str]:
        yield '| trial | AP of each seed | mean | costs | changes |'
        yield '| --- | --- | --- | --- | --- |'
        ranked = sorted(self._results, key=lambda r: r.mean, reverse=True)
        for result in ranked:
            scores = ' '.join(f'{score:.3f}' for score in result.scores)
            yield (
                f'| t{result.number:03d} | {scores} | {result.mean:.3f} | '
                f'{_costs(result)} | {self._said(result.candidate)} |'
            )
        done = {result.candidate for result in self._results}
        for trial in self._trials:
            if trial.candidate not in done:
                yield (
                    f'| t{trial.number:03d} | {_early(trial)} | | '
                    f'{_costs(trial)} | {self._said(trial.candidate)} |'
                )

    def _budget(self) -> Iterator[str]:
        results = self._state.of('result')
        counts = Counter(result['status'] for result in results)
        hours = math.fsum(result['seconds'] for result in results) / 3600
        listed = ', '.join(f'{n} {status}' for status, n in counts.items())
        yield f'{len(results)} requests ({listed}), {hours:.2f} hours of'
        yield 'training, each on its own share of the machine.'

    def _said(self, candidate: Candidate) -> str:
        return self._files.describe(candidate)


def _scores(result: Result) -> str:
    if result.error is None:
        return f'AP {result.mean:.3f} (one seed)'
    return (
        f'AP {result.mean:.3f} ± {result.error:.3f} '
        f'({len(result.scores)} seeds)'
    )


def _costs(result: Result | Trial) -> str:
    return ', '.join(figure(*pair) for pair in result.costs.items())


def _early(trial: Trial) -> str:
    at = max(trial.scores, default=0)
    found = f'{trial.scores[at]:.3f} at {at}' if at else ''
    return ' '.join(filter(None, (trial.status, found)))
