"""How far the predictor was right, seen from the end of a search."""

from __future__ import annotations

from collections.abc import Sequence

from .options import Options
from .predictor import Predictor
from .records import Trial
from .space import Space

LEAST = 8  # trials that a prediction is made from


def predictions(
    trials: Sequence[Trial], space: Space, options: Options
) -> list[tuple[float, float]]:
    """Return the AP predicted before trainings and the AP found, as pairs.

    A trial is predicted from those of earlier batches, at the longest
    training that all had.

    Args:
        trials: All, in the order of their numbers.
        space: Of the candidates.
        options: Of the search.
    """
    trained = [t for t in trials if not t.seed and t.scores]
    at = min((max(trial.scores) for trial in trained), default=0)
    scored = [trial for trial in trained if at in trial.scores]
    pairs = []
    for start in range(LEAST, len(scored), options.batch):
        before, batch = scored[:start], scored[start : start + options.batch]
        predict = Predictor(
            space,
            [trial.candidate for trial in before],
            [trial.scores[at] for trial in before],
        )
        guesses = predict([trial.candidate for trial in batch])
        pairs += [
            (float(guess), trial.scores[at])
            for guess, trial in zip(guesses, batch, strict=True)
        ]
    return pairs
