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
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

import fbnetv3_mmdet  # noqa: F401  MMDetection needs its mmcv.ops

# isort: split
from fbnetv3_mmdet.errors import user_errors
from fbnetv3_mmdet.files import complete_file
from fbnetv3_runtime import SUFFIXES, Detector, read_image


def main(argv: Sequence[str] | None = None) -> None:
    """Run the tool."""
    args = _parse(argv)
    with user_errors():
        import onnx

        from fbnetv3_mmdet.deploy.quantize import Quantizer
        from fbnetv3_mmdet.deploy.quantize_choice import Trials, choose
        from fbnetv3_mmdet.deploy.quantize_measure import Annotations
        from fbnetv3_mmdet.deploy.quantize_report import compare, explain

        _check(args)
        detector = Detector(args.model, 'onnxruntime')
        names = detector.metadata['classes']
        annotations = Annotations(args.ann, names) if args.ann else None
        has = annotations.has if annotations else lambda file: True
        files = _spread(_find_images(args.calibrate, has), args.num_images)
        truth = annotations.truth(files) if annotations else None
        quantizer = Quantizer(Path(args.model))
        kept = quantizer.match(args.float)
        quantizer.calibrate(_read_inputs(detector, files))
        trials = Trials(quantizer, args.model, files)
        layers = [name for name in quantizer.layers if name not in kept]
        choice = choose(trials, layers, args.max_drop)
        with complete_file(Path(args.target)) as path:
            onnx.save(quantizer.build(choice.integers), path)
        print(compare([args.model, args.target], files, truth))
        print(explain([*quantizer.layers], choice))


def _check(args: argparse.Namespace) -> None:
    if os.path.lexists(args.target):
        raise ValueError(
            f'target={args.target!r} exists; choose another name, or remove it'
        )
    for name, least in (('num_images', 1), ('max_drop', 0)):
        value = getattr(args, name)
        if not value >= least:
            option = name.replace('_', '-')
            raise ValueError(
                f'--{option}={value} is too low; give at least {least}'
            )


def _find_images(
    paths: Sequence[str], is_annotated: Callable[[Path], bool]
) -> list[Path]:
    """Return image files, and of folders those in them that are annotated.

    Where no image of a folder is annotated, the annotations are wrong.
    """
    files = []
    for path in map(Path, paths):
        if path.is_dir():
            found = path.rglob('*')
            found = sorted(f for f in found if f.suffix.lower() in SUFFIXES)
            files += list(filter(is_annotated, found)) or found
        else:
            files.append(path)
    if not files:
        raise ValueError(
            f'--calibrate={paths!r} has no files that end in {SUFFIXES}; '
            'give images'
        )
    return files


def _spread(files: Sequence[Path], number: int) -> list[Path]:
    """Return so many of the files, evenly spread."""
    number = min(number, len(files))
    return [files[i * len(files) // number] for i in range(number)]


def _read_inputs(
    detector: Detector, files: Sequence[Path]
) -> Iterator[np.ndarray]:
    """Yield what the network gets of each image.

    Raises:
        ValueError: Images cannot be read.
    """
    errors = []
    for file in tqdm(files, 'calibration'):
        try:
            picture = read_image(file)
        except ValueError as error:
            errors.append(error)
        else:
            pixels, _ = detector.resize(picture)
            yield pixels[None]
    if errors:
        raise ValueError(
            f'{len(errors)} of {len(files)} images cannot be read, such as: '
            f'{errors[0]}; leave them out'
        )


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
    return parser.parse_args(argv)


if __name__ == '__main__':
    main()
