"""Open the Model Playground: a page to set, train, watch, compare and ship.

It prints an address for the browser of this machine. Trainings that it starts
go on when the page or this command ends; each is an ordinary run in a folder
of its own, which can be continued by hand.

Examples:
    python -m fbnetv3_mmdet playground --data data/mine
    python -m fbnetv3_mmdet playground --watch work_dirs
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from fbnetv3_mmdet.errors import user_errors
from fbnetv3_mmdet.playground.app import serve


def main(argv: Sequence[str] | None = None) -> None:
    """Run the tool."""
    args = _parse(argv)
    with user_errors():
        serve(args.data, args.runs, args.watch, args.port)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        '--data',
        nargs='+',
        type=Path,
        default=[],
        metavar='DIR',
        help='folders of data sets (images/, train.json, val.json), or of '
        "labelling tools' exports to import",
    )
    parser.add_argument(
        '--runs',
        type=Path,
        default=Path('work_dirs/playground'),
        metavar='DIR',
        help='folder of its runs (default: work_dirs/playground)',
    )
    parser.add_argument(
        '--watch',
        nargs='+',
        type=Path,
        default=[],
        metavar='DIR',
        help='folders whose runs, started by hand, are shown too',
    )
    parser.add_argument(
        '--port', type=int, default=0, help='default: a free one'
    )
    return parser.parse_args(argv)


if __name__ == '__main__':
    main()
