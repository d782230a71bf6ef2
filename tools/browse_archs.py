"""Print the architectures: stages, parameters and multiply-adds of each part.

Examples:
    python tools/browse_archs.py
    python tools/browse_archs.py --arch FBNetV3_A FBNetV3_G --size 320 320
"""

from __future__ import annotations

import argparse
import json
import math
import operator
from collections.abc import Sequence
from itertools import accumulate, chain
from pathlib import Path

import torch
from terminaltables import GithubFlavoredMarkdownTable
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from fbnetv3_mmdet.archs import ARCHS, PARTS, Rows, get_arch
from fbnetv3_mmdet.errors import user_errors
from fbnetv3_mmdet.models.layers import build_stage

REGIONS = 30  # what D2Go's C4 detectors propose for an image
CELLS = dict(bbox=6, mask=14, kpts=6)  # resolution of the pooler
FPN_CHANNELS = 128  # D2Go's, and what the heads of `*_fpn` work on
FPN_STRIDES = (4, 8, 16, 32, 64)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the tool."""
    args = _parse(argv)
    with user_errors():
        names = tqdm(args.arch, 'Measuring', leave=False, disable=None)
        archs = [measure(name, args.size) for name in names]
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
        help='architectures to print (default: all)',
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
        name: Key of ``ARCHS``.
        size: Height and width of the image in pixels.

    Returns:
        dict: ``arch``; ``stages``, each with ``stride`` and ``channels``;
        ``parts``, each with ``params`` and ``macs``. Heads are without
        their predictors, which depend on anchors and classes.

    Raises:
        ValueError: ``name`` is unknown, or ``size`` is not positive.
    """
    arch = get_arch(name)
    if min(size) < 1:
        raise ValueError(
            f'size={tuple(size)} of the image must be a height and a width '
            'of at least 1 pixel each; leave it out for 224 320'
        )
    channels = [rows[-1].channels for rows in arch.trunk]
    factors = [math.prod(row.stride for row in rows) for rows in arch.trunk]
    strides = list(accumulate(factors, operator.mul))
    width, levels = channels[-1], strides[-1:]
    if name.endswith('_fpn'):
        width, levels = FPN_CHANNELS, FPN_STRIDES
    inputs = {
        'trunk': [(1, 3, *size)],
        'rpn': [(1, width, *(-(-side // s) for side in size)) for s in levels],
    } | {part: [(REGIONS, width, n, n)] for part, n in CELLS.items()}
    rows = arch._asdict() | {'trunk': tuple(chain(*arch.trunk))}
    return dict(
        arch=name,
        stages=[
            dict(stride=s, channels=c)
            for s, c in zip(strides, channels, strict=True)
        ],
        parts={
            part: _cost(rows[part], inputs[part])
            for part in arch._fields
            if rows[part]
        },
    )


def _cost(rows: Rows, shapes: list[tuple[int, ...]]) -> dict[str, int]:
    """Return the parameters of a part, and its MACs for all the inputs."""
    with torch.device('meta'), torch.no_grad():  # shapes, no arithmetic
        part = build_stage(rows, shapes[0][1], dict(type='BN')).eval()
        with FlopCounterMode(display=False) as counter:
            for shape in shapes:
                part(torch.empty(shape))
    params = sum(p.numel() for p in part.parameters())
    return dict(params=params, macs=counter.get_total_flops() // 2)


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
