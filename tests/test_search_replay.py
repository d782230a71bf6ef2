"""The search that users get, replayed on trained candidates."""

import sys
from math import comb
from pathlib import Path

import numpy as np
import pytest

import fbnetv3_mmdet  # noqa: F401  MMDetection needs its mmcv.ops

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
# isort: split
from benchmarks.search_replay import SHOWN, TRIALS, Table, replay  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.same_on_upstream]


def by_chance(scores, trials):
    """The mean regret of the first and of others at random, exactly."""
    others = np.sort(scores[1:])
    drawn = trials - 1
    # the one at place i is the highest of those drawn
    chances = [comb(i, drawn - 1) for i in range(len(others))]
    chances = np.array(chances) / comb(len(others), drawn)
    return scores.max() - chances @ np.maximum(others, scores[0])


def test_a_search_finds_better_than_chance():
    table = Table(ROOT / 'benchmarks/search_trials.jsonl')
    found = np.mean([replay(table, 'ridge', seed) for seed in range(40)], 0)
    regret = dict(zip(SHOWN, found, strict=False))
    assert regret[TRIALS] < 0.85 * by_chance(table.scores, TRIALS)
