"""Histograms of a data set's classes and box sizes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..annotations import show
from .anchors import IOU, Fit, Scaled, missed_boxes

MAX_CLASSES = 30  # bars
TICKS = (4, 8, 16, 32, 64, 128, 256, 512, 1024)  # px
BINS = np.geomspace(TICKS[0], TICKS[-1], 65)


def plot_boxes(
    names: Sequence[str],
    labels: np.ndarray,
    boxes: Scaled,
    fits: Sequence[Fit],
) -> Figure:
    """Plot how many boxes each class and each size has.

    Args:
        names: Of the classes.
        labels: Of the boxes, (N,).
        boxes: N boxes in pixels of the network's input.
        fits: Of the anchors in use and, if there is, of the suggestion.
    """
    figure = Figure((11, 4), dpi=90, layout='constrained')
    bars, sizes = figure.subplots(1, 2, width_ratios=[2, 3])
    _plot_classes(bars, names, labels)
    _plot_sizes(sizes, boxes, fits)
    return figure


def _plot_classes(
    axes: Axes, names: Sequence[str], labels: np.ndarray
) -> None:
    counts = np.bincount(labels, minlength=len(names))
    order = np.argsort(-counts, kind='stable')[:MAX_CLASSES]
    places = np.arange(len(order))
    axes.barh(places, counts[order], color='tab:blue')
    texts = [f'{show(names[i])}: {counts[i]}' for i in order]
    # a $ in a name is no formula
    axes.set_yticks(places, texts, parse_math=False)
    axes.invert_yaxis()
    axes.set(title='objects of each class', xlabel='objects')


def _plot_sizes(axes: Axes, boxes: Scaled, fits: Sequence[Fit]) -> None:
    inside = np.clip(boxes.sizes, TICKS[0], TICKS[-1])
    missed = missed_boxes(boxes, fits)
    axes.hist(
        [inside[~missed], inside[missed]],
        BINS,
        stacked=True,
        color=['tab:blue', 'tab:red'],
        label=['boxes', f'no anchor reaches IoU {IOU}'],
    )
    styles = (('in use', 'k', '-'), ('of k-means', 'tab:green', '--'))
    for fit, (title, color, style) in zip(fits, styles, strict=False):
        text = f'anchors {title}: {fit.missed:.1%} not reached'
        for size in fit.sizes:
            axes.axvline(size, color=color, ls=style, lw=1, label=text)
            text = None
    axes.set_xscale('log', base=2)
    axes.set_xticks(TICKS, labels=TICKS)
    axes.set_xlim(TICKS[0], TICKS[-1])
    axes.set(
        title='size of the boxes in the network',
        xlabel='square root of the area in px',
    )
    axes.legend(fontsize='small', framealpha=1)
