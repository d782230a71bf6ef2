"""Train a detector; ``mim train mmdet-fbnetv3`` calls this script.

Its options are those of MMDetection's ``tools/train.py``. A wrong setting or
a missing file ends it before anything is built, in one line and with exit
status 2.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import fbnetv3_mmdet  # noqa: F401  MMDetection needs its mmcv.ops

# isort: split
from mmdet.utils import setup_cache_size_limit_of_dynamo
from mmengine.config import Config

from fbnetv3_mmdet.cli import (
    AMP,
    add_run_options,
    build_runner,
    load_run_config,
    splits_to_judge,
)
from fbnetv3_mmdet.errors import user_errors
from fbnetv3_mmdet.training.faults.finding import has_checkpoint
from fbnetv3_mmdet.training.settings import check_settings, named_errors


def main(argv: Sequence[str] | None = None) -> None:
    """Train as the command line says."""
    with user_errors():
        args = parse_args(argv)
        cfg = load_run_config(args)
        apply_options(cfg, args)
        check_settings(cfg, splits_to_judge('train', 'val'))
        setup_cache_size_limit_of_dynamo()
        with named_errors(cfg):
            build_runner(cfg).train()


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description='Train a detector')
    add_run_options(parser)
    parser.add_argument(
        '--amp', action='store_true', help='automatic mixed precision'
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help="scale the learning rate by this job's batch size over "
        'auto_scale_lr.base_batch_size of the config',
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='continue from CHECKPOINT, or without one from the latest of '
        'the work dir, if any',
    )
    return parser.parse_args(argv)


def apply_options(cfg: Config, args: argparse.Namespace) -> None:
    """Enter the options of training into ``cfg``."""
    if args.amp:
        cfg.merge_from_dict(AMP)
    if args.auto_scale_lr:
        if 'base_batch_size' not in (cfg.get('auto_scale_lr') or {}):
            raise ValueError(
                '--auto-scale-lr needs auto_scale_lr.base_batch_size, the '
                'batch size that the learning rate is meant for; set it in '
                'the config'
            )
        cfg.auto_scale_lr.enable = True
    if args.resume == 'auto':
        # the first time there is nothing to go on from but the config's
        # initial weights
        cfg.resume = has_checkpoint(Path(cfg.work_dir))
        if cfg.resume:
            cfg.load_from = None
    elif args.resume:
        cfg.resume = True
        cfg.load_from = args.resume


if __name__ == '__main__':
    main()
