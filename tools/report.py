"""Report on a training run: its curves, its detections, its COCO metrics.

Writes ``curves.png`` and ``detections.png``, which shows val images with
their ground truth beside what the last checkpoint detects, and prints the
table of the last evaluation.

Example:
    python tools/report.py work_dirs/demo
"""

from __future__ import annotations

import argparse
import copy
import tempfile
from collections.abc import Sequence
from pathlib import Path

import fbnetv3_mmdet  # noqa: F401  MMDetection needs its mmcv.ops

# isort: split
import numpy as np
from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.runner import Runner, find_latest_checkpoint
from PIL import Image
from terminaltables import GithubFlavoredMarkdownTable

from fbnetv3_mmdet.cli import load_config
from fbnetv3_mmdet.errors import user_errors
from fbnetv3_mmdet.files import complete_file
from fbnetv3_mmdet.inference import TorchDetector, ground_truth
from fbnetv3_mmdet.training.logs import METRICS, coco_metrics, read_records
from fbnetv3_mmdet.visualization import (
    contact_sheet,
    draw_instances,
    plot_curves,
)
from fbnetv3_runtime.images import read_photo

SCORE_THR = 0.3  # of the detections drawn
TITLES = ('ground truth', f'detections (score > {SCORE_THR})')
PAIRS = 2  # in a row of the contact sheet
WIDTH = 400  # px, of a picture in it


def main(argv: Sequence[str] | None = None) -> None:
    """Run the tool."""
    args = _parse(argv)
    with user_errors():
        work_dir = Path(args.work_dir)
        out_dir = Path(args.out_dir or work_dir)
        cfg = load_config(args.config or find_config(work_dir))
        checkpoint = args.checkpoint or find_checkpoint(work_dir)
        records = read_records(work_dir)
        with complete_file(out_dir / 'curves.png') as path:
            plot_curves(records).savefig(path)
        with complete_file(out_dir / 'detections.png') as path:
            draw_sheet(cfg, checkpoint, args.num_images).save(path)
        evaluations = filter(None, map(coco_metrics, reversed(records)))
        metrics = next(evaluations, None) or evaluate(cfg, checkpoint)
    table = GithubFlavoredMarkdownTable([['COCO metrics on val', *METRICS]])
    for kind, values in metrics.items():
        figures = (f'{v:.3f}' if v >= 0 else '-' for v in values)
        table.table_data.append([kind, *figures])
    print(table.table)
    print(f'curves: {out_dir / "curves.png"}')
    print(f'detections: {out_dir / "detections.png"}')


def find_config(work_dir: Path) -> str:
    """Return the config that the runner dumped.

    Raises:
        ValueError: There is none, or several.
    """
    configs = sorted(map(str, work_dir.glob('*.py')))
    if len(configs) != 1:
        raise ValueError(
            f'{str(work_dir)!r} holds {len(configs)} configs {configs}, not '
            'one; name the one to use with --config, or give the --work-dir '
            'of a tools/train.py that has begun'
        )
    return configs[0]


def find_checkpoint(work_dir: Path) -> str:
    """Return the last checkpoint, also where the folder was moved.

    Raises:
        ValueError: There is none.
    """
    saved = find_latest_checkpoint(str(work_dir))
    if saved is None:
        raise ValueError(
            f'{str(work_dir)!r} holds no checkpoint (last_checkpoint); name '
            'one with --checkpoint, or train until the first is saved'
        )
    # of a folder that was copied, its own
    own = work_dir / Path(saved).name
    return str(own) if own.exists() else saved


def draw_sheet(cfg: Config, checkpoint: str, num_images: int) -> Image.Image:
    """Return a contact sheet of val images, spread evenly over the set.

    Args:
        cfg: Of the run.
        checkpoint: To detect with.
        num_images: How many, or all where there are fewer.

    Raises:
        ValueError: ``num_images`` is not positive.
    """
    if num_images < 1:
        raise ValueError(
            f'--num-images {num_images} must be at least 1; leave it out for '
            '12'
        )
    detector = TorchDetector(cfg, checkpoint)
    dataset = DATASETS.build(cfg.val_dataloader.dataset)
    pictures = []
    num_images = min(num_images, len(dataset))
    for index in np.linspace(0, len(dataset) - 1, num_images).round():
        info = dataset.get_data_info(int(index))
        photo = read_photo(info['img_path'])
        truth = ground_truth(info, detector.model.with_mask)
        found = detector.detect(detector.prepare(photo))
        found = found[found.scores > SCORE_THR]
        pictures += [
            draw_instances(photo.picture, instances, detector.meta, WIDTH)
            for instances in (truth, found)
        ]
    columns = min(2 * PAIRS, len(pictures))
    rows = [
        pictures[i : i + columns] for i in range(0, len(pictures), columns)
    ]
    return contact_sheet(rows, TITLES * (columns // 2))


def evaluate(cfg: Config, checkpoint: str) -> dict[str, list[float]]:
    """Return COCO metrics on val, for a run that never evaluated."""
    with tempfile.TemporaryDirectory() as folder:  # for another log
        cfg = copy.deepcopy(cfg)
        cfg.merge_from_dict({'work_dir': folder, 'load_from': checkpoint})
        return coco_metrics(Runner.from_cfg(cfg).val())


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('work_dir', help='of tools/train.py')
    parser.add_argument(
        '--config', help='config file (default: the one in the work dir)'
    )
    parser.add_argument(
        '--checkpoint', help='weights (default: the last in the work dir)'
    )
    parser.add_argument(
        '--num-images',
        type=int,
        default=12,
        metavar='N',
        help='val images on the contact sheet (default: 12)',
    )
    parser.add_argument(
        '--out-dir', metavar='DIR', help='of the pictures (default: work dir)'
    )
    return parser.parse_args(argv)


if __name__ == '__main__':
    main()
