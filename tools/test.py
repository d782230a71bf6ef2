"""Evaluate a checkpoint, or an exported file, whose name ends in .onnx.

``mim test mmdet-fbnetv3`` calls this script.

Its options are those of MMDetection's ``tools/test.py``. A wrong setting or
a missing file ends it before anything is built, in one line and with exit
status 2.
"""

import argparse
from collections.abc import Sequence
from copy import deepcopy

import fbnetv3_mmdet  # noqa: F401  MMDetection needs its mmcv.ops

# isort: split
from mmdet.engine.hooks.utils import trigger_visualization_hook
from mmdet.utils import setup_cache_size_limit_of_dynamo
from mmengine.config import Config, ConfigDict

from fbnetv3_mmdet.cli import (
    add_run_options,
    build_runner,
    load_run_config,
    splits_to_judge,
)
from fbnetv3_mmdet.data.datasets import leaves
from fbnetv3_mmdet.errors import user_errors
from fbnetv3_mmdet.inference import load_weights
from fbnetv3_mmdet.training.settings import check_settings, named_errors
from fbnetv3_mmdet.training.settings.data import is_labelled


def main(argv: Sequence[str] | None = None) -> None:
    """Evaluate as the command line says."""
    with user_errors():
        args = parse_args(argv)
        cfg = load_run_config(args)
        apply_options(cfg, args)
        if args.checkpoint.endswith('.onnx'):
            use_exported(cfg, args)
        if args.out and not is_labelled(cfg, 'test'):
            cfg.test_evaluator = [dump_of(args)]
        check_settings(cfg, splits_to_judge('test'))
        if args.tta:
            augment(cfg)
            check_settings(cfg, splits_to_judge('test'))
        setup_cache_size_limit_of_dynamo()
        with named_errors(cfg):
            runner = build_runner(cfg)
            if cfg.load_from:
                # the run loads what fits of it, and tests that
                load_weights(runner.model, cfg.load_from)
            runner.test()


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description='Evaluate a checkpoint')
    add_run_options(parser)
    parser.add_argument(
        'checkpoint',
        help='path or URL; or path of a file that tools/export.py wrote',
    )
    parser.add_argument(
        '--backend',
        choices=['onnxruntime', 'openvino'],
        help='what runs an exported file (default: the first of them that '
        'is installed)',
    )
    parser.add_argument(
        '--out',
        help='write predictions to this .pkl file; where the images have no '
        'annotations, nothing is evaluated',
    )
    parser.add_argument(
        '--show', action='store_true', help='show detections in windows'
    )
    parser.add_argument(
        '--show-dir',
        help='write pictures of detections to this folder, inside the work '
        "dir's folder of this run",
    )
    parser.add_argument(
        '--wait-time',
        type=float,
        default=2,
        help='seconds that a window stays',
    )
    parser.add_argument(
        '--tta',
        action='store_true',
        help="test-time augmentation: the config's tta_model and "
        'tta_pipeline, or else each image and its mirror image',
    )
    args = parser.parse_args(argv)
    if args.out and not args.out.endswith(('.pkl', '.pickle')):
        raise ValueError(
            f'--out={args.out!r} must end in .pkl or .pickle; rename it'
        )
    return args


def apply_options(cfg: Config, args: argparse.Namespace) -> None:
    """Enter the options of testing, but augmentation, into ``cfg``."""
    cfg.load_from = args.checkpoint
    if args.show or args.show_dir:
        trigger_visualization_hook(cfg, args)
    if args.out:
        metrics = cfg.test_evaluator
        cfg.test_evaluator = [
            *(metrics if isinstance(metrics, list) else [metrics]),
            dump_of(args),
        ]


def dump_of(args: argparse.Namespace) -> dict[str, str]:
    """Return what writes predictions, and evaluates nothing."""
    return dict(type='DumpDetResults', out_file_path=args.out)


def use_exported(cfg: Config, args: argparse.Namespace) -> None:
    """Enter an exported file in the place of ``cfg``'s model."""
    if args.tta or args.launcher != 'none':
        raise ValueError(
            f'checkpoint={args.checkpoint!r} is an exported file, which is '
            'tested in one process and without augmentation; leave out '
            '--tta and --launcher'
        )
    cfg.load_from = None
    cfg.model = dict(
        type='ExportedDetector', model=args.checkpoint, backend=args.backend
    )


def augment(cfg: Config) -> None:
    """Enter test-time augmentation into ``cfg``.

    Raises:
        ValueError: The model has masks, which MMDetection does not merge.
    """
    if 'mask_head' in (cfg.model.get('roi_head') or {}):
        raise ValueError(
            '--tta merges boxes, and no masks, as model.roi_head.mask_head '
            'gives them; leave --tta out'
        )
    datasets = [node for _, node in leaves(cfg.test_dataloader.dataset)]
    if 'tta_model' not in cfg:
        nms = dict(type='nms', iou_threshold=0.5)
        cfg.tta_model = dict(
            type='DetTTAModel', tta_cfg=dict(nms=nms, max_per_img=100)
        )
    if 'tta_pipeline' not in cfg:
        *load, pack = deepcopy(datasets[0].pipeline)
        pack.meta_keys = (*pack.meta_keys, 'flip', 'flip_direction')
        flips = [dict(type='RandomFlip', prob=prob) for prob in (1.0, 0.0)]
        cfg.tta_pipeline = [
            *load,
            dict(type='TestTimeAug', transforms=[flips, [pack]]),
        ]
    cfg.model = ConfigDict(**cfg.tta_model, module=cfg.model)
    for dataset in datasets:
        dataset.pipeline = cfg.tta_pipeline


if __name__ == '__main__':
    main()
