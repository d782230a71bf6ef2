"""Detect objects in images: annotated pictures and one JSON file.

``predictions.json`` is a list with an entry an image: ``file``, ``picture``
(within the output folder), ``width``, ``height`` and, best first, ``boxes``
([x1, y1, x2, y2] in pixels), ``scores``, ``labels``, ``names`` and, from
models that have them, ``masks`` (COCO's compressed RLE).

Where images could not be read, the others are done and the status is 2.

Examples:
    python tools/predict.py CONFIG CHECKPOINT photo.jpg --out-dir found
    python tools/predict.py CONFIG CHECKPOINT photos more --out-dir found
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import fbnetv3_mmdet  # noqa: F401  MMDetection needs its mmcv.ops

# isort: split
from mmdet.structures.mask import encode_mask_results
from mmengine.structures import InstanceData
from tqdm import tqdm

from fbnetv3_mmdet.cli import (
    add_cfg_options,
    load_detector_config,
)
from fbnetv3_mmdet.errors import user_errors
from fbnetv3_mmdet.files import complete_file
from fbnetv3_mmdet.inference import Detector
from fbnetv3_mmdet.visualization import (
    class_name,
    draw_instances,
)

SUFFIXES = '.bmp .jpeg .jpg .pgm .png .ppm .tif .tiff .webp'.split()


def main(argv: Sequence[str] | None = None) -> None:
    """Run the tool."""
    with user_errors():
        args = _parse(argv)
        if not 0 <= args.score_thr <= 1:
            raise ValueError(
                f'--score-thr {args.score_thr} is no score: give a number '
                'from 0 to 1, or leave it out for 0.3'
            )
        out_dir = Path(args.out_dir)
        files = plan(args.images, out_dir)
        cfg = load_detector_config(
            args.config, args.checkpoint, args.cfg_options
        )
        detector = Detector(cfg, args.checkpoint, args.device)
        entries = predict(detector, files, out_dir, args.score_thr)
        with complete_file(out_dir / 'predictions.json') as path:
            path.write_text(json.dumps(entries))
    print(f'{len(entries)} pictures and predictions.json are in {out_dir}')
    if unread := len(files) - len(entries):
        sys.stderr.write(
            f'error: {unread} of {len(files)} images could not be read\n'
        )
        sys.exit(2)


def plan(images: Sequence[str], out_dir: Path) -> dict[Path, Path]:
    """Return for every image file its picture's path in the output folder.

    That is the image's path in the folder that was given, numbered from the
    second of one path on.

    Args:
        images: Files, and folders, which are searched with their subfolders.
        out_dir: The output folder.

    Raises:
        ValueError: A folder has no images, or pictures would come to lie
            among or upon the images.
    """
    names: dict[Path, Path] = {}
    for path in map(Path, images):
        folder = path if path.is_dir() else path.parent
        files = _search(path) if path.is_dir() else [path]
        names |= {file: file.relative_to(folder) for file in files}
        output = out_dir.resolve()
        below = output.parents if path.is_dir() else ()
        if folder.resolve() in (output, *below):
            raise ValueError(
                f'--out-dir {out_dir} lies in {folder}, where images come '
                'from; choose a folder elsewhere'
            )
    targets = _number(names.values())
    sources = {file.resolve() for file in names}
    for target in targets:
        if (out_dir / target).resolve() in sources:
            raise ValueError(
                f'--out-dir {out_dir}: {target} in it is one of the images '
                'and would be overwritten; choose another folder'
            )
    return dict(zip(names, targets, strict=True))


def _number(names: Iterable[Path]) -> list[Path]:
    """Return names of JPEG files, no two alike on any file system."""
    targets: dict[str, Path] = {}
    for name in names:
        stem, number = name.with_suffix(''), 1
        target = f'{stem}.jpg'
        while target.lower() in targets:
            number += 1
            target = f'{stem}_{number}.jpg'
        targets[target.lower()] = Path(target)
    return list(targets.values())


def predict(
    detector: Detector,
    files: Mapping[Path, Path],
    out_dir: Path,
    score_thr: float,
) -> list[dict]:
    """Write the pictures; return the entries of the readable images.

    Args:
        detector: What to run.
        files: Of :func:`plan`.
        out_dir: The output folder.
        score_thr: Least score of what is drawn and returned.
    """
    classes = detector.meta['classes']
    entries = []
    for file, target in tqdm(files.items(), 'Detecting', disable=None):
        try:
            picture, data = detector.read(file)
        except ValueError as error:
            tqdm.write(str(error), sys.stderr)
            continue
        found = detector.detect(data)
        found = found[found.scores >= score_thr]
        with complete_file(out_dir / target) as path:
            draw_instances(picture, found, detector.meta).save(path)
        about = dict(file=str(file), picture=target.as_posix())
        size = dict(width=picture.width, height=picture.height)
        entries.append(about | size | _to_json(found, classes))
    return entries


def _to_json(found: InstanceData, classes: Sequence[str]) -> dict:
    labels = found.labels.tolist()
    entry = dict(
        boxes=found.bboxes.tolist(),
        scores=found.scores.tolist(),
        labels=labels,
        names=[class_name(label, classes) for label in labels],
    )
    if 'masks' in found:
        rles = encode_mask_results(found.masks.numpy())
        entry['masks'] = [r | {'counts': r['counts'].decode()} for r in rles]
    return entry


def _search(folder: Path) -> list[Path]:
    files = [f for f in folder.rglob('*') if f.suffix.lower() in SUFFIXES]
    if not files:
        raise ValueError(
            f'{folder} is a folder without images; give another, or the '
            f'images themselves where their names end in none of {SUFFIXES}'
        )
    return sorted(files)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('config', help='config file of the detector')
    parser.add_argument('checkpoint', help='file or URL of its weights')
    parser.add_argument(
        'images', nargs='+', help='image files, or folders to search'
    )
    parser.add_argument(
        '--out-dir', required=True, metavar='DIR', help='where to write'
    )
    parser.add_argument(
        '--score-thr',
        type=float,
        default=0.3,
        metavar='SCORE',
        help='leave out what has a lower score (default: 0.3)',
    )
    parser.add_argument(
        '--device',
        help="such as 'cpu' (default: the first accelerator, or else 'cpu')",
    )
    add_cfg_options(parser)
    return parser.parse_args(argv)


if __name__ == '__main__':
    main()
