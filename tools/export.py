"""Write a trained detector as one ONNX file, which needs no PyTorch.

The file takes a picture as the test pipeline resizes it, uint8 (1, H, W, 3),
RGB, and gives boxes, scores, labels and, from models that have them, masks.
Its metadata hold what else is needed to use it: class names, sizes,
thresholds and the config.

Examples:
    python tools/export.py CONFIG CHECKPOINT detector.onnx
    python tools/export.py CONFIG CHECKPOINT detector.onnx --size 224 320
"""

from __future__ import annotations

import argparse
import copy
import os
from collections.abc import Sequence
from pathlib import Path

import fbnetv3_mmdet  # noqa: F401  MMDetection needs its mmcv.ops

# isort: split
from fbnetv3_mmdet.cli import (
    add_cfg_options,
    load_detector_config,
)
from fbnetv3_mmdet.errors import user_errors
from fbnetv3_mmdet.files import complete_file
from fbnetv3_mmdet.inference import Detector
from fbnetv3_runtime import MAX_SIDE


def main(argv: Sequence[str] | None = None) -> None:
    """Run the tool."""
    args = _parse(argv)
    with user_errors():
        _check(args)
        text = _write(args)
    print(text)


def _check(args: argparse.Namespace) -> None:
    if os.path.lexists(args.target):
        raise ValueError(
            f'target={args.target!r} exists; choose another name, or remove it'
        )
    if args.size and not 1 <= min(args.size) <= max(args.size) <= MAX_SIDE:
        raise ValueError(
            f'--size {args.size[0]} {args.size[1]} is no size: give height '
            f"and width of the network's input in pixels, at most {MAX_SIDE}, "
            'or leave it out for any'
        )


def _write(args: argparse.Namespace) -> str:
    """Write the file, unless it finds other things; return what to say."""
    from fbnetv3_mmdet.deploy import verify
    from fbnetv3_mmdet.deploy.export import export, metadata

    cfg = load_detector_config(args.config, args.checkpoint, args.cfg_options)
    # building a detector adds to its config
    detector = Detector(copy.deepcopy(cfg), args.checkpoint, 'cpu')
    scale = metadata(cfg, detector, args.size)['resize']['scale']
    picture = verify.input_picture(detector, args.image, scale, args.size)
    name = args.image or 'a random picture'
    with complete_file(Path(args.target)) as path:
        export(cfg, detector, path, args.size)
        worst = verify.compare(path, detector, picture)
        if worst.negligible:
            verdict = f'as MMDetection in {name}: {worst}'
        elif verify.rounding_decides(detector, picture):
            verdict = (
                'not verified: rounding decides what this detector finds in '
                f'{name}, as in one that is hardly trained; check the file '
                'with tools/test.py, or verify with a picture of objects '
                '(--image)'
            )
        else:
            raise ValueError(
                f'{args.target} is not written: what it finds in {name} is '
                f'not what MMDetection finds, {worst}; try another with '
                '--image, and report this'
            )
        return f'{args.target}: {verify.describe(path, detector)}\n{verdict}'


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('config', help='config file of the detector')
    parser.add_argument('checkpoint', help='file or URL of its weights')
    parser.add_argument(
        'target', help='the file to write, which must not exist'
    )
    parser.add_argument(
        '--size',
        nargs=2,
        type=int,
        metavar=('HEIGHT', 'WIDTH'),
        help='take pictures of this size only, which some devices need; '
        'smaller ones are padded (default: any size)',
    )
    parser.add_argument(
        '--image',
        metavar='FILE',
        help='what to compare the file with MMDetection on, best with '
        'objects in it (default: a random picture)',
    )
    add_cfg_options(parser)
    return parser.parse_args(argv)


if __name__ == '__main__':
    main()
