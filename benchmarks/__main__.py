"""Measure speed and memory of detectors, all engines side by side.

Writes ``benchmark.md`` with tables, ``benchmark.json`` and pictures. The
models take turns, each in a process of its own, so that what else the machine
does hits all alike. Images are drawn scenes of 224 x 320 pixels; without a
checkpoint weights are random. A checkpoint of digits has its AP measured, of
each file and engine. Nothing is downloaded.

Run it from the root of the checkout:
    python -m benchmarks
    python -m benchmarks CONFIG=CHECKPOINT --threads 1 --skip peers training
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import fbnetv3_mmdet  # noqa: F401  MMDetection needs its mmcv.ops

# isort: split
from fbnetv3_mmdet.cli import load_config
from fbnetv3_mmdet.errors import user_errors
from fbnetv3_mmdet.files import complete_file
from fbnetv3_runtime.engine import count_cores

from . import report
from .processes import ROOT, measure
from .rows import BenchmarkFiles, Row

CONFIGS = ROOT / 'configs/fbnetv3'
DEFAULT = CONFIGS / 'faster-rcnn_fbnetv3-a-dsmask-c4_8xb4-540k_coco.py'
DIGITS = CONFIGS / 'faster-rcnn_fbnetv3-a-dsmask-c4_1xb4-2k_digits.py'
OPTIONAL = ('compile', 'peers', 'training')
STEP_SHARE = 4  # a training step takes seconds: fewer of them


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    with user_errors():
        args = _parse(argv)
        _check(args)
        models = [_split(model) for model in args.models]
        out_dir = Path(args.out_dir).resolve()
        files = BenchmarkFiles(out_dir / 'files', str(DIGITS))
        rows = [
            row
            for config, checkpoint in models
            for row in files.detector(
                config, checkpoint, 'compile' not in args.skip
            )
        ]
        rows += [] if 'peers' in args.skip else files.peers()
        trained = []
        if 'training' not in args.skip:
            trained = list(files.training(models[0][0]))
        print(_benchmark(args, out_dir, rows, trained))


def _benchmark(
    args: argparse.Namespace,
    out_dir: Path,
    rows: Sequence[Row],
    trained: Sequence[Row],
) -> str:
    """Measure and write all; return the tables."""
    texts, records = [f'# Benchmark\n\n{report.machine()}.'], {}
    log = out_dir / 'processes.log'
    for threads in args.threads:
        title = f'{threads} thread' + 's' * (threads > 1)
        found = measure(rows, threads, args.rounds, args.runs, log)
        rounds = -(-args.rounds // STEP_SHARE)
        steps = measure(trained, threads, rounds, 1, log)
        texts += [f'## {title}', report.inference_table(found)]
        texts += [report.training_table(steps)] if steps else []
        records[title] = report.record([*found, *steps])
        for name, figure in (
            ('stages', report.plot_stages(found, title)),
            ('ap', report.plot_accuracy(found, title)),
        ):
            if figure:
                with complete_file(out_dir / f'{name}-{threads}.png') as path:
                    figure.savefig(path)
        text = '\n\n'.join(texts) + '\n'
        with complete_file(out_dir / 'benchmark.md') as path:
            path.write_text(text)
        with complete_file(out_dir / 'benchmark.json') as path:
            path.write_text(json.dumps(records, indent=1))
    return text


def _split(model: str) -> tuple[str, str | None]:
    """Return config and checkpoint of CONFIG or CONFIG=CHECKPOINT."""
    config, _, checkpoint = model.partition('=')
    load_config(config)
    if checkpoint and not Path(checkpoint).is_file():
        raise ValueError(
            f'checkpoint={checkpoint!r} is no file; give the path of one '
            'behind CONFIG=, or leave it out for random weights'
        )
    path = str(Path(config).resolve())
    return path, str(Path(checkpoint).resolve()) if checkpoint else None


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


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks',
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
        default=[n for n in (1, 2) if n <= count_cores()],
        metavar='N',
        help='cores to measure with (default: 1, then 2)',
    )
    add('--rounds', type=int, default=10, help='turns of each (default: 10)')
    add('--runs', type=int, default=5, help='images in a turn (default: 5)')
    add(
        '--skip',
        nargs='+',
        default=[],
        choices=OPTIONAL,
        help='what to leave out',
    )
    return parser.parse_args(argv)


if __name__ == '__main__':
    main()
