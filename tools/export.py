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
from collections.abc import Sequence

import fbnetv3_mmdet  # noqa: F401  MMDetection needs its mmcv.ops

# isort: split
from fbnetv3_mmdet.cli import (
    add_cfg_options,
    load_detector_config,
)
from fbnetv3_mmdet.errors import user_errors


def main(argv: Sequence[str] | None = None) -> None:
    """Run the tool."""
    args = _parse(argv)
    with user_errors():
        from fbnetv3_mmdet.deploy.verify import export_verified

        cfg = load_detector_config(
            args.config, args.checkpoint, args.cfg_options
        )
        report = export_verified(
            cfg,
            args.checkpoint,
            args.target,
            args.size,
            args.image,
            args.half,
            args.split,
            args.batch,
            args.proposals,
        )
    print(report)


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
    parser.add_argument(
        '--half',
        action='store_true',
        help='calculate the networks in 16 bits, for devices that are faster '
        'with them; the file is half as large',
    )
    parser.add_argument(
        '--split',
        action='store_true',
        help='write two files, without the operators that choose and pool '
        'among boxes, for toolchains of NPUs; the second has .regions in its '
        'name, and the runtime runs both',
    )
    parser.add_argument(
        '--batch',
        type=int,
        metavar='N',
        help='take N pictures of one size at the same time, or any number '
        '(0), for predict_batch on devices that are faster so',
    )
    parser.add_argument(
        '--proposals',
        type=int,
        metavar='N',
        help='look at the N best regions of a picture, at most those of the '
        'config: fewer take less time (two-stage detectors)',
    )
    add_cfg_options(parser)
    return parser.parse_args(argv)


if __name__ == '__main__':
    main()
