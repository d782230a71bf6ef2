"""Detect objects in images or a video: annotated pictures and one JSON file.

The checkpoint may be an exported file, whose name ends in .onnx. The JSON is
that of ``python -m fbnetv3_runtime --json``; where --json is left out, it is
``predictions.json`` in the output folder.

Where images could not be read, the others are done and the status is 2.

Examples:
    python tools/predict.py CONFIG CHECKPOINT photo.jpg --out-dir found
    python tools/predict.py CONFIG CHECKPOINT photos more --out-dir found
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import fbnetv3_mmdet  # noqa: F401  MMDetection needs its mmcv.ops

# isort: split
from fbnetv3_mmdet.cli import add_cfg_options, load_detector_config
from fbnetv3_mmdet.errors import user_errors
from fbnetv3_mmdet.inference import TorchDetector
from fbnetv3_runtime import Detector
from fbnetv3_runtime.command import SCORE_THR, add_options, load_file
from fbnetv3_runtime.jobs import run
from fbnetv3_runtime.plan import plan


def main(argv: Sequence[str] | None = None) -> None:
    """Run the tool."""
    with user_errors():
        args = _parse(argv)
        files = plan(args, [args.config, args.checkpoint])
        done = run(args, files, _load(args))
        print(f'{done} pictures are in {args.out_dir}, and {args.json}')


def _load(args: argparse.Namespace) -> TorchDetector | Detector:
    """Return the detector that the command line names."""
    if args.checkpoint.endswith('.onnx'):
        if args.cfg_options:
            raise ValueError(
                f'checkpoint={args.checkpoint!r} is an exported file, which '
                'has its settings; leave out --cfg-options'
            )
        if args.batch_size > 1:
            raise ValueError(
                f'--batch-size {args.batch_size} is for the checkpoint of a '
                f'training; leave it out for {args.checkpoint!r}'
            )
        return load_file(
            args.checkpoint,
            args.backend,
            args.score_thr,
            threads=1,
            device=args.device or 'cpu',
        )
    cfg = load_detector_config(args.config, args.checkpoint, args.cfg_options)
    score_thr = SCORE_THR if args.score_thr is None else args.score_thr
    return TorchDetector(
        cfg, args.checkpoint, args.device, score_thr, args.batch_size
    )


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('config', help='config file of the detector')
    parser.add_argument(
        'checkpoint', help='file or URL of its weights, or an exported file'
    )
    add_options(parser)
    parser.add_argument(
        '--device',
        help="such as 'cpu' (default: the first accelerator, or else 'cpu')",
    )
    parser.add_argument(
        '--backend', help='what runs an exported file, as in tools/test.py'
    )
    parser.add_argument(
        '--batch-size',
        type=int,
        default=1,
        metavar='N',
        help='most images of one size that a GPU gets at the same time '
        '(default: 1)',
    )
    add_cfg_options(parser)
    args = parser.parse_intermixed_args(argv)
    if not args.out_dir:
        parser.error('the following arguments are required: --out-dir')
    if args.score_thr is not None and not 0 <= args.score_thr <= 1:
        raise ValueError(
            f'--score-thr {args.score_thr} is no score: give a number from 0 '
            f'to 1, or leave it out for {SCORE_THR}'
        )
    if args.batch_size < 1:
        raise ValueError(
            f'--batch-size {args.batch_size} is not allowed; give a number of '
            'images, at least 1'
        )
    args.json = args.json or str(Path(args.out_dir, 'predictions.json'))
    return args


if __name__ == '__main__':
    main()
