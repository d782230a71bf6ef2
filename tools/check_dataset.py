"""Look for what is wrong with a data set before training on it.

Prints every kind of defect with what training makes of it: an error stops
it or makes it learn something else than was meant, what is dropped is left
out; a warning tells of what is derived, or read otherwise than it is written,
and a note of what is used as it is. Then it compares the boxes with the
anchors and the pooler of a config. With --out-dir it writes report.json,
boxes.png (the histograms) and defects.png (a contact sheet).

The status is 0 where nothing is worse than a warning, 1 where training
would drop or misread something, and 2 where the files cannot be read.

Examples:
    python tools/check_dataset.py data/train.json data/images
    python tools/check_dataset.py data/train.json data/images --images \
        --val data/val.json --config mine.py --out-dir checked
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import fbnetv3_mmdet  # MMDetection needs its mmcv.ops

# isort: split
from fbnetv3_mmdet.cli import (
    add_cfg_options,
    add_label_options,
    load_config,
)
from fbnetv3_mmdet.data import doctor
from fbnetv3_mmdet.data.importing import Options, fix_file
from fbnetv3_mmdet.errors import user_errors
from fbnetv3_mmdet.files import complete_file

CONFIG = Path(
    fbnetv3_mmdet.__path__[0],
    '.mim/configs/fbnetv3',
    'faster-rcnn_fbnetv3-a-dsmask-c4_finetune_1xb4-1k_custom.py',
)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the tool."""
    with user_errors():
        args = _parse(argv)
        cfg = load_config(args.config or str(CONFIG), args.cfg_options)
        rules = doctor.read_rules(cfg, with_classes=bool(args.config))
        if args.images and not args.folder:
            raise ValueError(
                '--images needs the folder that the file names start from: '
                'give it as the second argument'
            )
        if args.fix:
            fix(args)
        found = doctor.examine(
            cfg,
            rules,
            args.fix or args.annotations,
            args.folder,
            args.val,
            args.val_images,
            args.images,
        )
        content, findings, val_findings, boxes, fits, pooler = found
        report = doctor.make_report(content, boxes, fits, pooler, findings)
        print(doctor.render(report, findings))
        if args.val:
            print(f'\nIn {args.val}:\n')
            print(doctor.render_findings(val_findings))
        if args.out_dir:
            out_dir = Path(args.out_dir)
            with complete_file(out_dir / 'report.json') as path:
                path.write_text(json.dumps(report, indent=1) + '\n')
            figure = doctor.plot_boxes(
                content.names, content.labels, boxes, fits
            )
            with complete_file(out_dir / 'boxes.png') as path:
                figure.savefig(path)
            draw_sheet(args, content, findings, out_dir)
    if findings.harmful or val_findings.harmful:
        sys.exit(1)


def fix(args: argparse.Namespace) -> None:
    """Write a mended annotation file, and say what was mended."""
    lines = fix_file(
        Path(args.annotations),
        Path(args.folder) if args.folder else None,
        Path(args.fix),
        Options(boxes=args.boxes, brush_masks=args.brush_masks),
    )
    print(f'Mended into {args.fix}:')
    for line in lines or ['nothing']:
        print(f'  {line}')
    print()


def draw_sheet(
    args: argparse.Namespace,
    content: doctor.Content,
    findings: doctor.Findings,
    out_dir: Path,
) -> None:
    """Write the contact sheet of defects, or remove that of another run."""
    folder = Path(args.folder) if args.images else None
    sheet = doctor.draw_defects(findings, content.pictures, folder)
    target = out_dir / 'defects.png'
    if sheet is None:
        target.unlink(missing_ok=True)
        return
    with complete_file(target) as path:
        sheet.save(path, 'PNG')


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        'annotations', metavar='ANN', help="annotation file, COCO's format"
    )
    parser.add_argument(
        'folder',
        nargs='?',
        metavar='IMAGES',
        help='folder that its file names start from; looks for the files',
    )
    parser.add_argument(
        '--images', action='store_true', help='open the image files too'
    )
    parser.add_argument(
        '--val',
        metavar='ANN',
        help='annotation file of which no image '
        'should be in the first; without --images, names are compared',
    )
    parser.add_argument(
        '--val-images',
        metavar='DIR',
        help='folder of its images (default: IMAGES)',
    )
    parser.add_argument(
        '--config',
        help='config file to train with: its classes, filter, resize, '
        'anchors and pooler (default: that for your own data, with all '
        'classes of the file)',
    )
    parser.add_argument(
        '--fix',
        metavar='OUT.json',
        help='first write a file mended as tools/import_dataset.py mends, '
        'and check that one',
    )
    add_label_options(parser)
    add_cfg_options(parser)
    parser.add_argument('--out-dir', metavar='DIR', help='where to write')
    return parser.parse_args(argv)


if __name__ == '__main__':
    main()
