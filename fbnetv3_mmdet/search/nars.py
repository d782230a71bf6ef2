"""What a search tries next: Neural Architecture-Recipe Search.

A first batch fills the space evenly. Then a predictor of AP is fitted to all
trials, candidates evolve under it within the limits, and the best of them are
trained: to the rung whose order of the first batch was that of the end, and
the best of a batch to the end. The finalists get further seeds.

Source: FBNetV3 (Dai et al., 2020), scaled to tens of trials.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
from scipy.stats import spearmanr

from .limits import meets
from .options import Options
from .predictor import Predictor, draw
from .promise import Test, promising
from .records import Candidate, Request, Trial
from .space import Space

POOL = 1024  # points of the Sobol sequence
FIRST = 8  # trials of the first batch, or a quarter of all where that is more
AGREEMENT = 0.9  # Spearman's correlation of a rung with the end
GOES_ON = 0.25  # of a batch, from the rung to the end
GENERATIONS, CHILDREN, PARENTS = 8, 96, 32
CHANGED = 0.08  # share of the genes that mutate
HOPELESS = 6  # times as many candidates as trials: most are over the limit
DIFFERENT = 3  # genes, between two candidates of a batch


def next_requests(
    trials: Sequence[Trial], space: Space, options: Options
) -> list[Request]:
    """Return what to train next, empty when the search is over.

    It follows from its arguments alone.

    Args:
        trials: All so far, in the order of their numbers.
        space: Of the candidates.
        options: Of the search.
    """
    known = {t.candidate for t in trials if t.status != 'over'}
    first = min(max(FIRST, options.trials // 4), options.trials)
    if wanted := _going_on(trials, options, first):
        return wanted
    count = min(
        first - len(known) if len(known) < first else options.batch,
        options.trials - len(known),
    )
    if count <= 0 or len(trials) > HOPELESS * options.trials:
        return _finalists(trials, options)
    rng = np.random.default_rng([options.seed, len(trials)])
    seen = {trial.candidate for trial in trials}
    fits = promising(trials, space, options)
    rung = options.length
    if len(known) < first:
        wanted = _spread(space, options, seen, fits, count)
    else:
        rung = _rung(trials, options, first)
        model = _fit(trials, space, rung)
        wanted = _evolve(trials, space, model, fits, count, rng)
    requests = [
        Request(len(trials) + i, candidate, 0, rung)
        for i, candidate in enumerate(wanted)
    ]
    # the space may hold no others
    return requests or _finalists(trials, options)


def _spread(
    space: Space, options: Options, seen: set, fits: Test, count: int
) -> list[Candidate]:
    """Return the baseline, a member of the family, and points of the pool."""
    family = [c for c in space.family.values() if c != space.baseline]
    family.sort(key=lambda c: -space.total(c).macs)  # the largest that fits
    fitting = [c for c in family if fits(c)][:1]
    pool = (c for c in draw(space, POOL, options.seed) if fits(c))
    changed = _changed(space, options, fits)  # where few points fit
    wanted: list[Candidate] = []
    for candidate in chain([space.baseline], fitting, pool, changed):
        if candidate not in seen and candidate not in wanted:
            wanted.append(candidate)
        if len(wanted) == count:
            break
    return wanted


def _changed(
    space: Space, options: Options, fits: Test
) -> Iterator[Candidate]:
    """Yield the baseline with some genes changed, as far as that fits."""
    rng = np.random.default_rng(options.seed)
    for _ in range(POOL):
        child = _child([space.baseline], space, rng)
        if fits(child):
            yield child


def _rung(trials: Sequence[Trial], options: Options, first: int) -> int:
    """Return the shortest length that orders the first batch as the end."""
    judged = [t for t in trials if t.status == 'done' and not t.seed]
    judged = [t for t in judged if t.score(options.length) is not None]
    judged = judged[:first]
    for rung in options.rungs[:-1]:
        early = [t.score(rung) for t in judged]
        if len(judged) < FIRST or None in early:
            continue
        late = [t.score(options.length) for t in judged]
        if spearmanr(early, late)[0] >= AGREEMENT:
            return rung
    return options.length


def _fit(trials: Sequence[Trial], space: Space, rung: int) -> Predictor:
    scored = [(t.candidate, t.score(rung)) for t in trials if not t.seed]
    scored = [(c, score) for c, score in scored if score is not None]
    return Predictor(space, *zip(*scored, strict=True))


def _evolve(
    trials: Sequence[Trial],
    space: Space,
    model: Predictor,
    fits: Test,
    count: int,
    rng: np.random.Generator,
) -> list[Candidate]:
    """Return candidates that the predictor likes, unlike each other."""
    seen = {trial.candidate for trial in trials}
    pool = draw(space, POOL // 4, int(rng.integers(2**20)))
    people = [*seen, space.baseline, *(c for c in pool if fits(c))]
    people = sorted(people, key=repr)  # a set has no order of its own
    for _ in range(GENERATIONS):
        people = _best(people, model)[:PARENTS]
        children = (_child(people, space, rng) for _ in range(CHILDREN))
        people += [c for c in children if fits(c)]
    wanted: list[Candidate] = []
    for least in (DIFFERENT, 1):
        for candidate in _best([*people, *pool], model):
            unlike = all(_distance(candidate, w) >= least for w in wanted)
            if candidate not in seen and unlike and fits(candidate):
                wanted.append(candidate)
            if len(wanted) == count:
                return wanted
    return wanted


def _best(people: Sequence[Candidate], model: Predictor) -> list[Candidate]:
    people = list(dict.fromkeys(people))
    order = np.argsort(-model(people), kind='stable')
    return [people[i] for i in order]


def _child(
    people: Sequence[Candidate], space: Space, rng: np.random.Generator
) -> Candidate:
    """Return a mix of two candidates, a few of its genes drawn anew."""
    one, other = (people[rng.integers(len(people))] for _ in range(2))
    mixed = rng.random(len(one)) < 0.5
    changed = rng.random(len(one)) < CHANGED
    places = rng.random(len(one))
    return tuple(
        gene.at(place) if change else (a if mix else b)
        for gene, place, change, mix, a, b in zip(
            space.genes, places, changed, mixed, one, other, strict=True
        )
    )


def _distance(one: Candidate, other: Candidate) -> int:
    return sum(a != b for a, b in zip(one, other, strict=True))


def _going_on(
    trials: Sequence[Trial], options: Options, first: int
) -> list[Request]:
    """Return requests to train the best of the last batch to the end."""
    own = [t for t in trials if not t.seed]
    while own and first:  # the first batch, which went to the end
        first -= own.pop(0).status != 'over'
    batch = own[(len(own) - 1) // options.batch * options.batch :]
    early = [t for t in batch if t.status == 'done' and t.scores]
    if any(options.length in t.scores for t in early):
        return []
    early.sort(key=lambda t: -max(t.scores.items())[1])
    best = early[: max(1, round(GOES_ON * options.batch))]
    return [
        Request(t.number, t.candidate, t.seed, options.length) for t in best
    ]


def _finalists(trials: Sequence[Trial], options: Options) -> list[Request]:
    """Return further seeds of the best within the limit, and the baseline."""
    within = [
        trial
        for trial in trials
        if not trial.seed
        and trial.number
        and trial.status == 'done'
        and trial.score(options.length) is not None
        and meets(options.limit, trial.costs)
    ]
    best = sorted(within, key=lambda t: -t.score(options.length))
    done = {(t.candidate, t.seed) for t in trials}
    wanted = [
        (trial.candidate, seed)
        for trial in (trials[0], *best[: options.finalists])
        for seed in range(1, options.seeds)
        if (trial.candidate, seed) not in done
    ]
    return [
        Request(len(trials) + i, candidate, seed, options.length)
        for i, (candidate, seed) in enumerate(wanted)
    ]
