"""Turn an exported detector's networks into 8-bit integers.

It is calibrated with images like those it will see; take them from the
training set, and keep the test set for testing the result:
``tools/test.py CONFIG OUT.onnx``. Layers that cost accuracy stay in float:
all are quantized first, and where that loses more than ``--max-drop`` points,
each layer is measured alone and the worst are taken out until the rest fits.
Points are of AP50, what the float file is sure of being the truth.
Annotations add AP to the table; of a folder that holds other images beside
theirs, such as the test set's, theirs are taken.

Examples:
    python tools/quantize.py detector.onnx int8.onnx --calibrate train/
    python tools/quantize.py detector.onnx int8.onnx --calibrate train/ --ann
        train.json --float 'roi_head.bbox_head.*'
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from tqdm import tqdm

import fbnetv3_mmdet  # noqa: F401  MMDetection needs its mmcv.ops

# isort: split
from fbnetv3_mmdet.errors import user_errors


def main(argv: Sequence[str] | None = None) -> None:
    """Run the tool."""
    args = _parse(argv)
    with user_errors():
        from fbnetv3_mmdet.deploy import quantize_file

        report = quantize_file(
            args.model,
            args.target,
            args.calibrate,
            args.ann,
            args.float,
            args.max_drop,
            args.num_images,
            args.bits,
            progress=tqdm,
        )
    print(report)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add('model', help='file that tools/export.py wrote')
    add('target', help='the file to write, which must not exist')
    add(
        '--calibrate',
        nargs='+',
        required=True,
        metavar='IMAGES',
        help='image files, or folders to search',
    )
    add(
        '--num-images',
        type=int,
        default=100,
        metavar='N',
        help='use so many of the images (default: 100)',
    )
    add(
        '--ann',
        metavar='FILE',
        help='their annotations, as COCO has them; of folders it takes the '
        'images that are in it',
    )
    add(
        '--float',
        nargs='+',
        default=[],
        metavar='LAYERS',
        help="keep these layers in float, such as 'rpn_head.*'",
    )
    add(
        '--max-drop',
        type=float,
        default=0.5,
        metavar='POINTS',
        help='AP50 that may be lost, against the float file (default: 0.5)',
    )
    add(
        '--bits',
        type=int,
        default=7,
        help="of weights; 8 for processors with VNNI or Arm's dot products, "
        'others add wrongly with them (default: 7, right everywhere)',
    )
    return parser.parse_args(argv)


if __name__ == '__main__':
    main()
