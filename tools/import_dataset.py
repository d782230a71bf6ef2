r"""Import labels of any tool into a folder that trains as it stands.

Reads COCO's format in any layout (Roboflow, CVAT, Label Studio, VIA), Pascal
VOC, YOLO's boxes and polygons, and the own JSON of LabelMe, ISAT, VIA and
Label Studio. Says what it found, and what it mended. Writes DIR/images/ (hard
links, or copies on another disk), DIR/train.json, DIR/val.json and
DIR/mine.py, the config to train with. The source is not changed, and DIR
appears when it is complete.

A source without a val part gets one, of pictures that look like none in
train. What is not understood ends it in one line, with status 2.

Examples:
    python tools/import_dataset.py export/ --out mine
    python tools/import_dataset.py export/ --out mine --val 0.1 --seed 1 \
        --classes cat dog
    python tools/train.py mine/mine.py
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import fbnetv3_mmdet  # noqa: F401  MMDetection needs its mmcv.ops

# isort: split
from fbnetv3_mmdet.cli import add_label_options
from fbnetv3_mmdet.data.annotations.findings import show
from fbnetv3_mmdet.data.importing import (
    Options,
    import_dataset,
    open_source,
)
from fbnetv3_mmdet.errors import user_errors


def main(argv: Sequence[str] | None = None) -> None:
    """Run the tool."""
    args = _parse(argv)
    out = Path(args.out)
    with user_errors():
        tree, form = open_source(Path(args.source))
        print(f'{args.source}: {form.name} ({show(form.file)})', flush=True)
        options = Options(
            args.val, args.classes, args.boxes, args.brush_masks, args.seed
        )
        found = import_dataset(tree, form, out, options, args.force)
    for line in found.notes:
        print(f'  {line}')
    for part, count in found.pictures.items():
        objects = found.objects[part]
        print(f'{out / part}.json: {count} pictures, {objects} objects')
    print(f'classes: {", ".join(map(show, found.classes))}')
    print(f'Train: python -m fbnetv3_mmdet train {out / "mine.py"}')


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('source', metavar='SOURCE', help='unpacked export')
    parser.add_argument(
        '--out', metavar='DIR', required=True, help='folder to make'
    )
    parser.add_argument(
        '--val',
        type=float,
        metavar='SHARE',
        help='share of the pictures for val, where the source has no val '
        'part (default: 0.2)',
    )
    parser.add_argument(
        '--classes',
        nargs='+',
        metavar='NAME',
        help='classes to train, in this order (default: all with objects); '
        'the names by number of labels that have only numbers',
    )
    add_label_options(parser)
    parser.add_argument(
        '--force', action='store_true', help='replace DIR, its mine.py too'
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='of the val part (default: 0)'
    )
    return parser.parse_args(argv)


if __name__ == '__main__':
    main()
