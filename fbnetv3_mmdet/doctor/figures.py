"""Histograms of a data set's classes and box sizes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from .anchors import IOU, Fit, Scaled
from .findings import show

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
    counts = np.bincount(labels, minlength=len(names))
    order = np.argsort(-counts, kind='stable')[:MAX_CLASSES]
    places = np.arange(len(order))
    bars.barh(places, counts[order], color='tab:blue')
    texts = [f'{show(names[i])}: {counts[i]}' for i in order]
    # a $ in a name is no formula
    bars.set_yticks(places, texts, parse_math=False)
    bars.invert_yaxis()
    bars.set(title='objects of each class', xlabel='objects')
    missed = fits[0].overlaps < IOU if fits else np.zeros(len(labels), bool)
    inside = np.clip(boxes.sizes, TICKS[0], TICKS[-1])
    parts = [inside[~missed], inside[missed]]
    colors = ['tab:blue', 'tab:red']
    texts = ['boxes', f'no anchor reaches IoU {IOU}']
    sizes.hist(parts, BINS, stacked=True, color=colors, label=texts)
    styles = (('in use', 'k', '-'), ('of k-means', 'tab:green', '--'))
    for fit, (title, color, style) in zip(fits, styles, strict=False):
        text = f'anchors {title}: {fit.missed:.1%} not reached'
        for size in fit.sizes:
            sizes.axvline(size, color=color, ls=style, lw=1, label=text)
            text = None
    sizes.set_xscale('log', base=2)
    sizes.set_xticks(
        [4, 8, 16, 32, 64, 128, 256, 512],
        labels=[4, 8, 16, 32, 64, 128, 256, 512],
    )
    sizes.set(
        title='size of the boxes in the network',
        xlabel='square root of the area in px',
    )
    sizes.legend(fontsize='small')
    return figure
