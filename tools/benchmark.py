"""Measure how long detectors take for a picture, several in turns.

A model is a file that tools/export.py or tools/quantize.py wrote, or a
config, whose detector gets random weights. The time is that from the
network's input to the boxes. From a checkout, ``make bench`` compares more:
memory, stages, other detectors, training.

Examples:
    python tools/benchmark.py detector.onnx int8.onnx --threads 2
    python tools/benchmark.py CONFIG.py --backend torch onnxruntime openvino
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import fbnetv3_mmdet  # noqa: F401  MMDetection needs its mmcv.ops

# isort: split
from fbnetv3_mmdet.cli import load_config
from fbnetv3_mmdet.errors import user_errors


def main(argv: Sequence[str] | None = None) -> None:
    """Run the tool."""
    args = _parse(argv)
    with user_errors():
        from fbnetv3_mmdet.deploy import in_turns, prepare

        pairs = [(model, b) for model in args.models for b in args.backend]
        runs = [
            prepare(_read(model), args.size, backend, args.threads)
            for model, backend in pairs
        ]
        found = in_turns(runs, args.rounds, args.times)
        for (model, backend), figures in zip(pairs, found, strict=True):
            print(f'{model}, {backend}: {figures}')


def _read(model: str):
    return model if model.endswith('.onnx') else load_config(model)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add('models', nargs='+', help='exported files, or configs')
    add(
        '--backend',
        nargs='+',
        default=['onnxruntime'],
        choices=['torch', 'onnxruntime', 'openvino'],
        help='what runs them (default: onnxruntime)',
    )
    add(
        '--size',
        nargs=2,
        type=int,
        metavar=('HEIGHT', 'WIDTH'),
        help="of the network's input in pixels (default: what the test "
        'pipeline makes of a picture of its own proportions)',
    )
    add('--threads', type=int, default=1, help='threads of each (default: 1)')
    add('--rounds', type=int, default=10, help='turns of each (default: 10)')
    add('--times', type=int, default=5, help='pictures a turn (default: 5)')
    return parser.parse_args(argv)


if __name__ == '__main__':
    main()
