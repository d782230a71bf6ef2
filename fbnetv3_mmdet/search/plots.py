"""Pictures of a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from .options import Options
from .records import Candidate
from .summary import Result, front_of

AXES = {  # cost: its label, and what it is divided by
    'latency': ('latency, ms', 1),
    'macs': ('million multiply-adds', 1e6),
    'params': ('million parameters', 1e6),
}


def plot_front(
    results: Sequence[Result],
    axis: str,
    options: Options,
    names: Mapping[Candidate, str],
) -> Figure:
    """Draw AP over a cost: all candidates, the front, the limit.

    Args:
        results: Of candidates, at least one.
        axis: The cost.
        options: Of the search.
        names: Of the baseline and the members of the family.
    """
    figure = Figure(figsize=(7, 4.5), layout='constrained')
    axes = figure.subplots()
    label, unit = AXES[axis]
    axes.margins(0.1)
    axes.set(xlabel=label, ylabel=f'AP on val, {options.length} iterations')
    for result in results:
        x = result.costs[axis] / unit
        known = names.get(result.candidate)
        axes.errorbar(
            x,
            result.mean,
            result.error and 2 * result.error,
            fmt='s' if known else 'o',
            color='tab:orange' if known else 'tab:blue',
            capsize=3,
        )
        axes.annotate(
            known or f't{result.number:03d}',
            (x, result.mean),
            xytext=(5, 4),
            textcoords='offset points',
            fontsize=7,
        )
    front = front_of(results, axis)
    axes.step(
        [result.costs[axis] / unit for result in front],
        [result.mean for result in front],
        where='post',
        color='tab:green',
        label='front',
    )
    if axis in options.limit:
        axes.axvline(
            options.limit[axis] / unit, color='gray', ls='--', label='limit'
        )
    axes.legend(title='bars: two standard errors', fontsize=8)
    axes.grid(alpha=0.3)
    return figure


def plot_predictor(pairs: Sequence[tuple[float, float]], rank: float):
    """Draw the AP that was predicted before a training, and that it had.

    Args:
        pairs: Predicted and found AP.
        rank: Spearman's correlation of them.
    """
    figure = Figure(figsize=(4.5, 4.5), layout='constrained')
    axes = figure.subplots()
    predicted, found = zip(*pairs, strict=True)
    axes.scatter(predicted, found)
    ends = [min(*predicted, *found), max(*predicted, *found)]
    axes.plot(ends, ends, color='gray', ls='--')
    axes.set(
        xlabel='AP predicted before the training',
        ylabel='AP found',
        title=f'{len(pairs)} trials, rank correlation {rank:.2f}',
    )
    axes.grid(alpha=0.3)
    return figure
