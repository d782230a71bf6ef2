"""search.nars: what is tried next follows from the trials alone."""

import numpy as np
import pytest

from fbnetv3_mmdet.archs import ARCHS
from fbnetv3_mmdet.search.nars import DIFFERENT, FIRST, next_requests
from fbnetv3_mmdet.search.options import Options
from fbnetv3_mmdet.search.predictor import Predictor, draw
from fbnetv3_mmdet.search.records import Trial
from fbnetv3_mmdet.search.space import PROPOSALS, make_space

pytestmark = pytest.mark.same_on_upstream

LR = 'optim_wrapper.optimizer.lr'
LENGTH = 60
OPTIONS = Options(
    length=LENGTH, limit=dict(macs=60e6), trials=20, finalists=2, seeds=3
)


@pytest.fixture(scope='module')
def space():
    return make_space(
        'FBNetV3_A_dsmask_tiny',
        {LR: dict(log=(0.01, 0.16)), PROPOSALS: [10, 30]},
        {LR: 0.04, PROPOSALS: 30},
        (112, 160),
    )


def truth(space, candidate):
    """An AP that follows from a few genes."""
    blocks = space.value(candidate, 'trunk.2.0.blocks', 0)
    rate = space.value(candidate, LR, 0)
    return 0.1 + 0.03 * blocks - 0.05 * abs(np.log(rate / 0.05))


def run(space, options, early=1.0):
    """Return the trials after each batch; early scores times ``early``."""
    trials, history = {}, []
    while requests := next_requests([*trials.values()], space, options):
        for number, candidate, seed, iterations in requests:
            cost = space.total(candidate)
            score = truth(space, candidate)
            rng = np.random.default_rng([number, seed])
            scores = {
                at: score if at == LENGTH else early * score * at / LENGTH
                + (1 - early) * rng.random()
                for at in options.rungs
                if at <= iterations
            }  # fmt: skip
            trials[number] = Trial(
                number, candidate, seed, scores,
                dict(macs=cost.macs, params=cost.params),
            )  # fmt: skip
        trials = dict(sorted(trials.items()))
        history.append([*trials.values()])
    return history


def test_a_search_tries_what_it_may_and_finds_what_is_good(space):
    history = run(space, OPTIONS)
    trials = history[-1]
    tried = {t.candidate for t in trials}
    assert trials[0].candidate == space.baseline
    assert len(tried) == OPTIONS.trials
    others = [t for t in trials if t.candidate != space.baseline]
    assert all(t.costs['macs'] <= 60e6 for t in others)
    seeds = [t for t in trials if t.seed]
    assert len(seeds) == (OPTIONS.finalists + 1) * (OPTIONS.seeds - 1)
    best = max(truth(space, t.candidate) for t in trials[FIRST:])
    drawn = [c for c in draw(space, 256, 9) if space.total(c).macs <= 60e6]
    expected = [
        np.random.default_rng(seed).choice(
            [truth(space, c) for c in drawn], OPTIONS.trials, replace=False
        ).max()
        for seed in range(50)
    ]  # fmt: skip
    assert best > np.mean(expected)  # of as many random trials


def test_what_is_next_follows_from_the_trials_alone(space):
    history = run(space, OPTIONS)
    assert history == run(space, OPTIONS)
    for before, after in zip(history, history[1:], strict=False):
        asked = next_requests(before, space, OPTIONS)
        known = {(t.number, LENGTH in t.scores) for t in before}
        new = [t for t in after if (t.number, LENGTH in t.scores) not in known]
        assert [r.number for r in asked] == [t.number for t in new]


def test_early_scores_stop_trainings_where_they_tell_the_end(space):
    trials = run(space, OPTIONS)[-1]
    stopped = [t for t in trials if LENGTH not in t.scores]
    assert len(stopped) == 9  # three of each of three batches of four
    for trial in stopped:
        assert set(trial.scores) == {OPTIONS.rungs[0]}
    noise = run(space, OPTIONS, early=0.0)[-1]
    assert all(LENGTH in t.scores for t in noise)


def test_candidates_of_a_batch_differ(space):
    trials = run(space, OPTIONS)[0]
    batch = [r.candidate for r in next_requests(trials, space, OPTIONS)]
    for i, one in enumerate(batch):
        for other in batch[:i]:
            different = sum(a != b for a, b in zip(one, other, strict=True))
            assert different >= DIFFERENT


def test_a_member_that_fits_is_in_the_first_batch(space):
    options = OPTIONS._replace(limit=dict(macs=400e6))
    first = next_requests([], space, options)
    macs = {space.total(c).macs: n for n, c in space.family.items()}
    fitting = max(m for m in macs if m <= 400e6)
    assert first[1].candidate == space.family[macs[fitting]]
    assert macs[fitting] in ARCHS


def test_a_predictor_ranks_what_it_has_not_seen(space):
    drawn = draw(space, 128, 3)
    scores = [truth(space, c) for c in drawn]
    mean = Predictor(space, drawn[:96], scores[:96])(drawn[96:])
    ranks = np.corrcoef(
        np.argsort(np.argsort(mean)), np.argsort(np.argsort(scores[96:]))
    )
    assert ranks[0, 1] > 0.4


def test_a_recipe_alone_is_searched(space):
    values = {LR: 0.04}
    recipe = make_space(None, {LR: dict(log=(0.01, 0.16))}, values, (1, 1))
    options = Options(length=LENGTH, trials=10, finalists=1, seeds=2)
    trials = []
    while requests := next_requests(trials, recipe, options):
        trials += [
            Trial(r.number, r.candidate, r.seed, {LENGTH: r.candidate[0]}, {})
            for r in requests
        ]
    assert len({t.candidate for t in trials}) == 10
