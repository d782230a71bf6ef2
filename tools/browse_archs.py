"""Print the architectures: stages, parameters and multiply-adds of each part.

Examples:
    python tools/browse_archs.py
    python tools/browse_archs.py --arch FBNetV3_A mine.json --size 320 320
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from terminaltables import GithubFlavoredMarkdownTable

from fbnetv3_mmdet.archs import ARCHS, PARTS, trunk_features
from fbnetv3_mmdet.costs import CELLS, REGIONS, costs
from fbnetv3_mmdet.errors import user_errors

FPN_CHANNELS = 128  # D2Go's, and what the heads of `*_fpn` work on
FPN_STRIDES = (4, 8, 16, 32, 64)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the tool."""
    args = _parse(argv)
    with user_errors():
        archs = [measure(name, args.size) for name in args.arch]
        if args.json:
            Path(args.json).write_text(json.dumps(archs, indent=1) + '\n')
    print(_table(archs))
    print(_legend(args.size))


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        '--arch',
        nargs='+',
        default=list(ARCHS),
        metavar='NAME',
        help='architectures to print, names or JSON files of rows '
        '(default: all)',
    )
    parser.add_argument(
        '--size',
        nargs=2,
        type=int,
        default=[224, 320],
        metavar=('HEIGHT', 'WIDTH'),
        help='image size in pixels (default: 224 320)',
    )
    parser.add_argument(
        '--json', metavar='FILE', help='write the figures to this file too'
    )
    return parser.parse_args(argv)


def measure(name: str, size: Sequence[int]) -> dict:
    """Return what the table says of one architecture.

    Args:
        name: Key of ``ARCHS``, or the path of a JSON file of rows.
        size: Height and width of the image in pixels.

    Returns:
        dict: ``arch``; ``stages``, each with ``stride`` and ``channels``;
        ``parts``, each with ``params`` and ``macs``. Heads are without
        their predictors, which depend on anchors and classes.

    Raises:
        ValueError: ``name`` is unknown, or ``size`` is not positive.
    """
    pyramid = dict(levels=FPN_STRIDES, in_channels=FPN_CHANNELS)
    parts = costs(name, size, **(pyramid if name.endswith('_fpn') else {}))
    stages = [dict(stride=s, channels=c) for s, c in trunk_features(name)]
    return dict(
        arch=name,
        stages=stages,
        parts={part: cost._asdict() for part, cost in parts.items()},
    )


def _table(archs: list[dict]) -> str:
    """Return a line an architecture."""
    parts = ('trunk', *PARTS)
    rows = [['architecture', 'channels/stride', *parts]]
    for arch in archs:
        stages = (f'{s["channels"]}/{s["stride"]}' for s in arch['stages'])
        costs = (arch['parts'].get(part) for part in parts)
        rows.append(
            [arch['arch'], ' '.join(stages), *(_text(cost) for cost in costs)]
        )
    table = GithubFlavoredMarkdownTable(rows)
    table.justify_columns = dict.fromkeys(range(2, 2 + len(parts)), 'right')
    return table.table


def _text(cost: dict[str, int] | None) -> str:
    if cost is None:
        return '-'
    return f'{cost["params"] / 1e6:.3f} {cost["macs"] / 1e6:7.1f}'


def _legend(size: Sequence[int]) -> str:
    """Say what the figures are of."""
    height, width = size
    box, mask = CELLS['bbox'], CELLS['mask']
    return (
        f'Parameters and MACs in millions, for an image of {height}x{width} '
        'px; MACs are the\nmultiply-adds of convolutions and linear layers. '
        f'Heads are without predictors and\nfor {REGIONS} regions, pooled '
        f'to {box}x{box} cells (mask: {mask}x{mask}). With `_fpn` they work '
        f"on an\nFPN's {FPN_CHANNELS} channels, rpn on its strides "
        f'{FPN_STRIDES[0]} to {FPN_STRIDES[-1]}; the FPN is not counted.'
    )


if __name__ == '__main__':
    main()
