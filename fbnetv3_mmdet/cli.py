"""What the scripts in ``tools/`` share: reading configs, users' errors.

A script runs in :func:`.errors.user_errors`, declares ``--cfg-options`` with
:func:`add_cfg_options` and reads its config with :func:`load_config`; for a
whole training or test, the same is done by :func:`add_run_options`,
:func:`load_run_config` and :func:`build_runner`.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch.distributed as dist
from mmengine.config import Config, DictAction
from mmengine.device import get_device
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from .checkpoints import load_safely
from .errors import frames, text_of
from .training.console import BriefRunner
from .training.settings import check_settings
from .training.settings.following import follow
from .training.settings.keys import SETTINGS

# Settings of mixed precision, by dotted path, as MMDetection's --amp has them.
AMP = {
    'optim_wrapper.type': 'AmpOptimWrapper',
    'optim_wrapper.loss_scale': 'dynamic',
}
# Hooks that mmengine itself leaves out of a run where they are None.
# Source: mmengine.runner.Runner.register_default_hooks
MMENGINE_HOOKS = (
    'runtime_info',
    'timer',
    'sampler_seed',
    'logger',
    'param_scheduler',
    'checkpoint',
)


def load_config(
    path: str, cfg_options: Mapping[str, Any] | None = None
) -> Config:
    """Return the config at ``path``, with options merged into it.

    Settings that follow from others are completed, so that each tool sees
    what a training would.

    Args:
        path (str): A config file, as ``mmengine.Config.fromfile`` takes it.
        cfg_options (dict, optional): Values by dotted path, such as
            ``{'model.arch': 'FBNetV3_A'}``.

    Raises:
        ValueError: The file is missing or wrong, or an option does not fit
            the config or would change nothing in it.
    """
    try:
        cfg = Config.fromfile(path)
    except FileNotFoundError as error:
        raise ValueError(
            f'config={path!r}: {text_of(error)}; give the path of a config '
            'file, and in it base files that exist'
        ) from error
    except Exception as error:  # a config is code, and may raise anything
        raise ValueError(
            f'config={path!r} cannot be read: {type(error).__name__}: '
            f'{text_of(error)}{_place_of(error)}; correct the file or its '
            'bases'
        ) from error
    for key, value in (cfg_options or {}).items():
        _set_option(cfg, key, value)
    follow(cfg)
    return cfg


def load_detector_config(
    path: str, checkpoint: str, cfg_options: Mapping[str, Any] | None = None
) -> Config:
    """Return the config of a trained detector, for use outside of a run.

    It is as the file has it: ``load_from`` is not changed.

    Raises:
        ValueError: As for :func:`load_config`; or a setting is wrong, or
            there is no such checkpoint.
    """
    cfg = load_config(path, cfg_options)
    checked = cfg.copy()
    checked.load_from = checkpoint  # and not what training began with
    check_settings(checked, splits=())
    return cfg


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Declare ``--cfg-options``, for ``load_config``'s ``cfg_options``."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=_CfgOptions,
        metavar='KEY=VALUE',
        help='settings by dotted path that replace those of the config, '
        'such as model.arch=FBNetV3_A; lists as key="[a,b]" or '
        'key=a,b, nested ones as key="[(a,b),(c,d)]", in quotation marks '
        'and without spaces',
    )


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Declare what :func:`load_run_config` reads, as MMDetection names it."""
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--work-dir',
        help='folder of logs, checkpoints and results; by default that of '
        'the config, or else work_dirs/ and the name of the config',
    )
    add_cfg_options(parser)
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='what started the processes of this job; pytorch: torchrun',
    )
    parser.add_argument(
        '--local_rank', '--local-rank', default='0', help=argparse.SUPPRESS
    )


def add_label_options(parser: argparse.ArgumentParser) -> None:
    """Declare what a user answers where labels can mean two things."""
    parser.add_argument(
        '--boxes',
        choices=['xywh', 'xyxy'],
        help='what the boxes of COCO files are: a corner and sides, or two '
        'corners (default: a question where they look like corners)',
    )
    parser.add_argument(
        '--brush-masks',
        action=argparse.BooleanOptionalAction,
        help='run-length masks marked as crowds are single objects, as '
        "CVAT's brush writes them (default: a question where they are many)",
    )


def load_run_config(args: argparse.Namespace) -> Config:
    """Return the config of a run, from the options of its command line.

    Raises:
        ValueError: As for :func:`load_config`; or there is no launcher.
    """
    cfg = load_config(args.config, args.cfg_options)
    cfg.launcher = args.launcher
    default = os.path.join('work_dirs', Path(args.config).stem)
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or default
    os.environ.setdefault('LOCAL_RANK', args.local_rank)
    if args.launcher == 'pytorch' and 'RANK' not in os.environ:
        raise ValueError(
            "--launcher='pytorch' is for processes that torchrun started; "
            'put torchrun --nproc_per_node=NUMBER before the script, or '
            'leave --launcher out'
        )
    return cfg


def splits_to_judge(*splits: str) -> tuple[str, ...]:
    """Return the splits whose files this process is to judge: the first all.

    The others are told by it, once they are connected.
    """
    ranks = ('RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK')
    rank = next(
        (os.environ[name] for name in ranks if name in os.environ), '0'
    )
    return splits if rank == '0' else ()


def build_runner(cfg: Config) -> Runner:
    """Build the runner of a config, in this process's place of the job.

    Hooks of ``default_hooks`` that are None are left out. Checkpoints are
    read by our loaders, which run nothing of what a file holds.
    """
    load_safely()
    for name, hook in list((cfg.get('default_hooks') or {}).items()):
        if hook is None and name not in MMENGINE_HOOKS:
            del cfg.default_hooks[name]
    if cfg.launcher == 'pytorch' and get_device() == 'cpu':
        # mmengine would give each process a GPU, and its model too.
        dist.init_process_group('gloo')
        cfg.model_wrapper_cfg = {
            'type': 'MMDistributedDataParallel',
            'device_ids': None,
            'broadcast_buffers': False,
            'find_unused_parameters': cfg.get('find_unused_parameters', False),
            **(cfg.get('model_wrapper_cfg') or {}),
        }
    if 'runner_type' in cfg:
        return RUNNERS.build(cfg)
    return BriefRunner.from_cfg(cfg)


def _place_of(error: Exception) -> str:
    """Say in which config file an error is, and in which line of it."""
    file = line = None
    for frame in frames(error):
        if frame.f_code.co_name == '_file2dict':
            file, line = frame.f_locals['filename'], None
        elif frame.f_code.co_filename == file:
            line = frame.f_lineno
    if isinstance(error, SyntaxError):
        line = error.lineno
    return f' (in {file!r}, line {line})' if file and line else ''


def _set_option(cfg: Config, key: str, value: Any) -> None:
    if key.partition('.')[0] not in SETTINGS:
        raise ValueError(
            f'--cfg-options {key}={value!r} would change nothing; give '
            'the full path of a setting, such as model.arch, '
            f'which starts with one of {sorted(SETTINGS)}'
        )
    try:
        cfg.merge_from_dict({key: value})
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise ValueError(
            f'--cfg-options {key}={value!r} does not fit the config '
            f'({text_of(error)}); give the dotted path of a setting in it'
        ) from error


class _CfgOptions(DictAction):
    def __call__(self, parser, namespace, values, option_string=None) -> None:
        try:
            super().__call__(parser, namespace, values, option_string)
        except (ValueError, AssertionError) as error:
            raise ValueError(
                f'--cfg-options {" ".join(values)!r} is not a list of '
                'KEY=VALUE with balanced brackets; write for example '
                '--cfg-options model.arch=FBNetV3_A'
            ) from error
