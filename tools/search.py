"""Search an architecture and a recipe for one's own data and device.

The config inherits a training config, the baseline, and adds ``search``. The
same command again continues; docs/search.md explains the rest.

Examples:
    python tools/search.py search_mine.py --dry-run
    python tools/search.py search_mine.py
    python tools/search.py search_mine.py --limit latency=6
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import fbnetv3_mmdet  # noqa: F401  MMDetection needs its mmcv.ops

# isort: split
from fbnetv3_mmdet.errors import user_errors


def main(argv: Sequence[str] | None = None) -> None:
    """Run the tool."""
    args = _parse(argv)
    with user_errors():
        from fbnetv3_mmdet.search import run

        run.search(args.config, args.work_dir, args.limit, args.dry_run, _say)


def _say(line: str) -> None:
    print(line, flush=True)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('config', help='training config with a dict `search`')
    parser.add_argument(
        '--work-dir',
        help='folder of the search (default: that of the config, or else '
        'work_dirs/ and the name of the config)',
    )
    parser.add_argument(
        '--limit',
        nargs='+',
        metavar='NAME=VALUE',
        default=[],
        help='other limits than those of the config: latency (ms), macs, '
        'params; a finished search trains its finalists only',
    )
    parser.add_argument(
        '--dry-run',
        action='store_true',
        help='say how many trials, hours and gigabytes it takes, and end',
    )
    return parser.parse_args(argv)


if __name__ == '__main__':
    main()
