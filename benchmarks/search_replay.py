"""Replay searches on trained candidates: which way of choosing finds the best?

    python -m benchmarks.search_replay benchmarks/search_trials.jsonl

The candidates of the table are all there are. A search begins with the
baseline and seven drawn at random, then takes four at a time; its regret is
the AP of the table's best, less that of the best it has tried. Of several
seeds of a candidate the mean counts.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import Pool
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Matern, WhiteKernel
from terminaltables import GithubFlavoredMarkdownTable

from fbnetv3_mmdet.cli import load_config
from fbnetv3_mmdet.search.predictor import Predictor, inputs
from fbnetv3_mmdet.search.records import Candidate

from .search_network import Network
from .search_trials import CONFIG, MACS, read_space

FIRST, BATCH, TRIALS = 8, 4, 24
SHOWN = (12, 16, 20, 24)
LENGTHS = ('100', '200', '300')  # iterations at which AP is known

Predict = Callable[[Sequence[int]], tuple[np.ndarray, np.ndarray]]


def main() -> None:
    """Print mean regrets and rank correlations."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('table', type=Path, help='of search_trials')
    parser.add_argument('--seeds', type=int, default=100)
    parser.add_argument('--workers', type=int, default=2)
    parser.add_argument(
        '--since', type=int, default=0, help='leave out what was earlier'
    )
    parser.add_argument('--ways', nargs='+', choices=WAYS, default=[*WAYS])
    args = parser.parse_args()
    torch.set_num_threads(1)
    table = Table(args.table, args.since)
    print('\n'.join(table.described()), flush=True)
    rows = [['chosen by', *(f'regret, {n}' for n in SHOWN), 'rank, 20']]
    with Pool(args.workers) as pool:
        for name in args.ways:
            jobs = [(table, name, seed) for seed in range(args.seeds)]
            found = np.array(pool.starmap(replay, jobs))
            mean, error = found.mean(0), found.std(0) / len(found) ** 0.5
            cells = [
                f'{m:.4f} ± {e:.4f}'
                for m, e in zip(mean[:-1], error, strict=False)
            ]
            rows.append([name, *cells, f'{mean[-1]:.2f}'])
            print(rows[-1], flush=True)
    print(GithubFlavoredMarkdownTable(rows).table)


class Table:
    """Trained candidates of the small training on DigitScenes.

    Args:
        path: A file of ``search_trials``.
        since: Number of the first candidate after the baseline.
    """

    def __init__(self, path: Path, since: int = 0) -> None:
        self.space = read_space(load_config(str(CONFIG)))
        rows = map(json.loads, path.read_text().splitlines())
        rows = [r for r in rows if not r['number'] or r['number'] >= since]
        rows.sort(key=lambda row: row['number'])
        trained: dict[tuple, list[list[float]]] = {}
        for row in rows:
            scores = [row['scores'].get(at, 0.0) for at in LENGTHS]
            trained.setdefault(tuple(row['candidate']), []).append(scores)
        self.candidates = list(trained)
        self._trained = [np.array(scores) for scores in trained.values()]
        self.scores = np.array([s[:, -1].mean() for s in self._trained])
        known = inputs(self.space, self.candidates)
        scale = known.std(0)
        self._mean = known.mean(0)
        self._scale = np.where(scale > 0, scale, 1)
        self.inputs = (known - self._mean) / self._scale

    def scaled(self, candidates: Sequence[Candidate]) -> np.ndarray:
        """Return genes and statistics, as those of the table are scaled."""
        return (inputs(self.space, candidates) - self._mean) / self._scale

    def described(self) -> Iterator[str]:
        """Yield what the table can tell: noise, and early ranks."""
        several = [s[:, -1] for s in self._trained if len(s) > 1]
        best = self.scores.max()
        yield f'{len(self.candidates)} candidates, best AP {best:.3f}'
        if several:
            sd = np.mean([s.var(ddof=1) for s in several]) ** 0.5
            yield (
                f'standard deviation between candidates '
                f'{self.scores.std():.3f}, within {len(several)} of several '
                f'seeds {sd:.3f}'
            )
        first = np.array([scores[0] for scores in self._trained])
        for at, early in zip(LENGTHS, first.T[:-1], strict=False):
            rank = spearmanr(early, first[:, -1])[0]
            yield f'rank correlation of {at} iterations and all {rank:.2f}'


def replay(table: Table, name: str, seed: int) -> list[float]:
    """Return the regret after each of ``SHOWN`` trials, and a correlation.

    That is Spearman's, on what was not tried after 20 trials.
    """
    torch.set_num_threads(1)
    rng = np.random.default_rng(seed)
    others = rng.permutation(np.arange(1, len(table.candidates)))
    tried = [0, *map(int, others[: FIRST - 1])]
    regret, rank = {}, 0.0
    while True:
        best = table.scores[tried].max()
        regret[len(tried)] = table.scores.max() - best
        if len(tried) >= TRIALS:
            return [*(regret[n] for n in SHOWN), rank]
        rest = [i for i in range(len(table.candidates)) if i not in tried]
        mean, spread = WAYS[name](table, tried, rest, rng)
        if len(tried) == 20:
            rank = spearmanr(mean, table.scores[rest])[0]
        order = np.argsort(-(mean + 0.5 * spread))
        chosen = [rest[i] for i in order[:BATCH]]
        tried += chosen


def _random(table, tried, rest, rng) -> tuple[Any, Any]:
    return rng.random(len(rest)), np.zeros(len(rest))


def _ridge(table, tried, rest, rng) -> tuple[Any, Any]:
    candidates = [table.candidates[i] for i in tried]
    model = Predictor(table.space, candidates, table.scores[tried])
    return model([table.candidates[i] for i in rest]), np.zeros(len(rest))


def _trees(table, tried, rest, rng) -> tuple[Any, Any]:
    seed = int(rng.integers(2**20))
    model = ExtraTreesRegressor(100, random_state=seed)
    model.fit(table.inputs[tried], table.scores[tried])
    found = [tree.predict(table.inputs[rest]) for tree in model.estimators_]
    return np.mean(found, 0), np.std(found, 0)


def _network(pretrained: bool) -> Callable:
    def choose(table, tried, rest, rng) -> tuple[Any, Any]:
        candidates = [table.candidates[i] for i in tried]
        seed = int(rng.integers(2**20))
        model = Network(
            table.space, candidates, table.scores[tried], seed, pretrained
        )
        return model([table.candidates[i] for i in rest])

    return choose


def _nearest(table, tried, rest, rng) -> tuple[Any, Any]:
    """Take what is nearest to each suggestion of Optuna's."""
    rival, near = _rival(table, tried, rng), np.zeros(len(rest))
    for turn in range(BATCH):
        wanted = table.scaled([rival.suggest()])
        far = np.abs(table.inputs[rest] - wanted).sum(1)
        far[near > 0] = np.inf  # taken
        near[far.argmin()] = BATCH - turn
    return near, np.zeros(len(rest))


def _densest(table, tried, rest, rng) -> tuple[Any, Any]:
    """Order the table as Optuna orders what it draws."""
    order = _rival(table, tried, rng).order(
        [table.candidates[i] for i in rest]
    )
    return order, np.zeros(len(rest))


def _rival(table, tried, rng) -> Any:
    from .search_optuna import Rival  # needs optuna

    candidates = [table.candidates[i] for i in tried]
    seed = int(rng.integers(2**20))
    return Rival(table.space, candidates, table.scores[tried], MACS[1], seed)


def _gaussian(table, tried, rest, rng) -> tuple[Any, Any]:
    width = table.inputs.shape[1] ** 0.5
    kernel = Matern(width, (width / 5, width * 5), nu=2.5) + WhiteKernel(0.1)
    model = GaussianProcessRegressor(kernel, normalize_y=True)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of lengths at their bounds
        model.fit(table.inputs[tried], table.scores[tried])
    return model.predict(table.inputs[rest], return_std=True)


WAYS = {
    'random': _random,
    "Optuna's TPE, nearest": _nearest,
    "Optuna's TPE, densest": _densest,
    'ridge': _ridge,
    'Gaussian process': _gaussian,
    'extra trees': _trees,
    'network': _network(False),
    'network, pretrained': _network(True),
}

if __name__ == '__main__':
    main()
