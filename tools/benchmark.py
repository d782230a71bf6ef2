"""Measure speed and memory of detectors, all engines side by side.

Writes ``benchmark.md`` with tables, ``benchmark.json`` and pictures. The
models take turns, each in a process of its own, so that what else the machine
does hits all alike. Images are drawn scenes of 224 x 320 pixels; without a
checkpoint weights are random. Nothing is downloaded.

Examples:
    python tools/benchmark.py
    python tools/benchmark.py CONFIG=CHECKPOINT --threads 1 --ap ap.json
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import fbnetv3_mmdet

# isort: split
from fbnetv3_mmdet.cli import load_config
from fbnetv3_mmdet.deploy.bench.worker import count_cores
from fbnetv3_mmdet.errors import user_errors

CONFIGS = Path(fbnetv3_mmdet.__file__).parent / '.mim/configs/fbnetv3'
DEFAULT = CONFIGS / 'faster-rcnn_fbnetv3-a-dsmask-c4_8xb4-540k_coco.py'
DIGITS = CONFIGS / 'faster-rcnn_fbnetv3-a-dsmask-c4_1xb4-2k_digits.py'


def main(argv: Sequence[str] | None = None) -> None:
    """Run the tool."""
    with user_errors():
        from fbnetv3_mmdet.deploy.bench.run import Plan, benchmark

        args = _parse(argv, Plan)
        _check(args)
        plan = Plan(
            models=[_split(model) for model in args.models],
            digits=str(DIGITS),
            out_dir=Path(args.out_dir),
            threads=args.threads,
            rounds=args.rounds,
            runs=args.runs,
            skip=args.skip,
            precision=_read_json(args.ap) if args.ap else {},
        )
        print(benchmark(plan))


def _split(model: str) -> tuple[str, str | None]:
    """Return config and checkpoint of CONFIG or CONFIG=CHECKPOINT."""
    config, _, checkpoint = model.partition('=')
    load_config(config)
    if checkpoint and not Path(checkpoint).is_file():
        raise ValueError(
            f'checkpoint={checkpoint!r} is no file; give the path of one '
            'behind CONFIG=, or leave it out for random weights'
        )
    return config, checkpoint or None


def _check(args: argparse.Namespace) -> None:
    for name, values, most in (
        ('threads', args.threads, count_cores()),
        ('rounds', [args.rounds], None),
        ('runs', [args.runs], None),
    ):
        for value in values:
            if value < 1 or most and value > most:
                limit = f' and at most {most}, the cores here' if most else ''
                raise ValueError(f'--{name}={value} must be at least 1{limit}')


def _read_json(path: str) -> dict[str, dict[str, float]]:
    try:
        found = json.loads(Path(path).read_text())
        return {m: {e: float(v) for e, v in found[m].items()} for m in found}
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(
            f'--ap={path!r} is no JSON of AP by model and engine ({error}); '
            'write for example {"MODEL": {"ONNX Runtime int8": 0.656}}'
        ) from error


def _parse(argv: Sequence[str] | None, plan: type) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        'models',
        nargs='*',
        default=[str(DEFAULT)],
        metavar='CONFIG[=CHECKPOINT]',
        help='detectors; the first is trained too (default: the COCO config '
        'of FBNetV3_A_dsmask C4)',
    )
    add('--out-dir', default='work_dirs/bench', metavar='DIR')
    add(
        '--threads',
        type=int,
        nargs='+',
        default=[n for n in plan.threads if n <= count_cores()],
        metavar='N',
        help='cores to measure with (default: 1, then 2)',
    )
    add(
        '--rounds',
        type=int,
        default=plan.rounds,
        help=f'turns each row has (default: {plan.rounds})',
    )
    add(
        '--runs',
        type=int,
        default=plan.runs,
        help=f'images in a turn (default: {plan.runs})',
    )
    add(
        '--skip',
        nargs='+',
        default=[],
        choices=plan.OPTIONAL,
        help='what to leave out',
    )
    add(
        '--ap',
        metavar='FILE',
        help='JSON of AP by model and engine, as the table names them, for a '
        'picture of AP over latency',
    )
    return parser.parse_args(argv)


if __name__ == '__main__':
    main()
