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
import os
from collections.abc import Sequence
from pathlib import Path

import fbnetv3_mmdet  # noqa: F401  MMDetection needs its mmcv.ops

# isort: split
from fbnetv3_mmdet.cli import add_cfg_options, load_config, user_errors
from fbnetv3_mmdet.inference import Detector
from fbnetv3_mmdet.visualization import complete_file


def main(argv: Sequence[str] | None = None) -> None:
    """Run the tool."""
    args = _parse(argv)
    with user_errors():
        from fbnetv3_mmdet.deploy.export import export

        if os.path.lexists(args.target):
            raise ValueError(
                f'target={args.target!r} exists; choose another name, or '
                'remove it'
            )
        cfg = load_config(args.config, args.cfg_options)
        detector = Detector(cfg, args.checkpoint, 'cpu')
        with complete_file(Path(args.target)) as path:
            export(cfg, detector, path, args.size)


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
    add_cfg_options(parser)
    return parser.parse_args(argv)


if __name__ == '__main__':
    main()
