"""Sizes and ratios of anchors, by k-means."""

import numpy as np

MAX_BOXES = 20_000  # that are looked at, spread over the set
MAX_STEPS = 100


def cluster(
    sides: np.ndarray, num_sizes: int, num_ratios: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return sizes and ratios of anchors by k-means of distance 1 - IoU.

    The clusters' shapes are all pairs of a size and a ratio, which is what
    anchors are made of; a size is the median of its clusters' boxes, and so
    is a ratio.

    Args:
        sides: Widths and heights, (N, 2), in pixels.
        num_sizes: How many sizes, square roots of areas in pixels.
        num_ratios: How many ratios, height / width.
    """
    sides = sides[:: -(-len(sides) // MAX_BOXES)]
    size = np.sqrt(sides.prod(1))
    ratio = sides[:, 1] / sides[:, 0]
    sizes = np.quantile(size, (np.arange(num_sizes) + 0.5) / num_sizes)
    ratios = np.quantile(ratio, (np.arange(num_ratios) + 0.5) / num_ratios)
    best, chosen = -1.0, (sizes, ratios)
    for _ in range(MAX_STEPS):
        roots = np.sqrt(ratios)
        shapes = np.stack(
            (np.outer(sizes, 1 / roots), np.outer(sizes, roots)), -1
        ).reshape(-1, 2)
        common = np.minimum(sides[:, None], shapes).prod(2)
        union = sides.prod(1)[:, None] + shapes.prod(1) - common
        overlap = common / union
        if overlap.max(1).mean() <= best:
            break
        best, chosen = overlap.max(1).mean(), (sizes, ratios)
        of_size, of_ratio = np.divmod(overlap.argmax(1), num_ratios)
        sizes = _medians(size, of_size, sizes)
        ratios = _medians(ratio, of_ratio, ratios)
    return np.sort(chosen[0]), np.sort(chosen[1])


def _medians(
    values: np.ndarray, cluster_of: np.ndarray, centers: np.ndarray
) -> np.ndarray:
    """Return the clusters' medians; an empty one keeps its centre."""
    return np.array(
        [
            np.median(values[cluster_of == i]) if i in cluster_of else center
            for i, center in enumerate(centers)
        ]
    )
