"""Rules for targets, proposals, data loaders and initial weights."""

import difflib
import multiprocessing
import os
from collections.abc import Mapping
from typing import Any

from mmengine.device import get_device
from mmengine.hooks import Hook
from mmengine.registry import FUNCTIONS, MODELS, OPTIMIZERS
from mmengine.runner import CheckpointLoader

from ...checkpoints.zoo import ZOO
from ...errors import SettingError
from ...kinds import is_number
from ...paths import as_list, find_dicts, get_setting
from .classes import find_code


def check_thresholds(cfg: Mapping) -> None:
    """IoU thresholds: 0 <= lower <= upper <= 1."""
    training = get_setting(cfg, 'model.train_cfg')
    for path, assigner in find_dicts(training, 'model.train_cfg'):
        if {'neg_iou_thr', 'pos_iou_thr'} <= set(assigner):
            lower, upper = assigner['neg_iou_thr'], assigner['pos_iou_thr']
            bounds = [0, *as_list(lower), upper, 1]
            if not all(map(is_number, bounds)) or bounds != sorted(bounds):
                raise SettingError(
                    f'{path}.neg_iou_thr={lower!r} and {path}.pos_iou_thr='
                    f'{upper!r} must be numbers with 0 <= lower <= upper <= '
                    '1, a box between them being ignored; usual are 0.3 and '
                    '0.7 for rpn, 0.5 and 0.5 for rcnn',
                    [f'{path}.neg_iou_thr', f'{path}.pos_iou_thr'],
                )


def check_proposals(cfg: Mapping) -> None:
    """There are no more proposals after NMS than before, where it is known."""
    strides = 'model.rpn_head.anchor_generator.strides'
    levels = len(as_list(get_setting(cfg, strides)))
    for path in ('model.train_cfg.rpn_proposal', 'model.test_cfg.rpn'):
        before = get_setting(cfg, f'{path}.nms_pre') or -1
        after = get_setting(cfg, f'{path}.max_per_img') or 0
        if 0 < before * levels < after:  # -1: all of them
            raise SettingError(
                f'{path}.max_per_img={after}, the proposals after NMS, is '
                f'more than there are before, {path}.nms_pre={before} from '
                f'each of {levels} feature level(s); lower max_per_img or '
                'raise nms_pre'
            )


def check_workers(cfg: Mapping) -> None:
    """What concerns the workers of a data loader needs some."""
    for split in ('train', 'val', 'test'):
        loader = cfg.get(f'{split}_dataloader') or {}
        for key in ('persistent_workers', 'prefetch_factor', 'timeout'):
            if loader.get(key) and not loader.get('num_workers'):
                raise SettingError(
                    f'{split}_dataloader.{key}={loader[key]!r} needs '
                    f'{split}_dataloader.num_workers of at least 1; set that, '
                    f'or leave {key} out'
                )


def check_hooks(cfg: Mapping) -> None:
    """Hooks are dicts; those of ``default_hooks`` that are None stay out."""
    default = cfg.get('default_hooks') or {}
    hooks = {f'default_hooks.{name}': hook for name, hook in default.items()}
    for i, hook in enumerate(cfg.get('custom_hooks') or []):
        hooks[f'custom_hooks.{i}'] = hook
    for path, hook in hooks.items():
        left_out = hook is None and path.startswith('default_hooks.')
        if not isinstance(hook, (Mapping, Hook)) and not left_out:
            raise SettingError(
                f'{path}={hook!r} must be a dict with a type, or None in '
                'default_hooks to leave that hook out'
            )


def check_rpn_targets(cfg: Mapping) -> None:
    """Anchors have no place for boxes that were added to them."""
    path = 'model.train_cfg.rpn.sampler'
    sampler = get_setting(cfg, path)
    key = 'add_gt_as_proposals'
    if (
        isinstance(sampler, Mapping)
        and sampler.get('type') == 'RandomSampler'
        and sampler.get(key, True)
    ):
        raise SettingError(
            f'{path}.{key}={sampler.get(key, True)!r} is for regions, not for '
            f'anchors; set {path}.{key}=False'
        )


def check_seed(cfg: Mapping) -> None:
    """MMEngine takes no ``randomness`` without a seed."""
    value = cfg.get('randomness')
    if value is not None and 'seed' not in value:
        raise SettingError(
            f'randomness={value!r} has no seed; add seed=None for one that '
            'is drawn, or a number'
        )


def check_environment(cfg: Mapping) -> None:
    """What has a name for the whole run exists: scope, processes, collate."""
    scopes = ['mmengine', *sorted(MODELS.children)]
    methods = multiprocessing.get_all_start_methods()
    allowed = {
        'default_scope': (cfg.get('default_scope', 'mmdet'), scopes),
        'env_cfg.mp_cfg.mp_start_method': (
            get_setting(cfg, 'env_cfg.mp_cfg.mp_start_method'),
            methods,
        ),
    }
    for path, (value, choices) in allowed.items():
        if value is not None and value not in choices:
            raise SettingError(
                f'{path}={value!r} must be one of {choices}', [path]
            )
    for split in ('train', 'val', 'test'):
        path = f'{split}_dataloader.collate_fn.type'
        value = get_setting(cfg, path)
        if isinstance(value, str) and FUNCTIONS.get(value) is None:
            raise SettingError(
                f'{path}={value!r} is no registered function; give one of '
                f'{sorted(FUNCTIONS.module_dict)}, or leave collate_fn out '
                "for 'pseudo_collate'",
                [path],
            )


def check_custom_keys(cfg: Mapping) -> None:
    """Rates of single layers are dicts of multipliers."""
    path = 'optim_wrapper.paramwise_cfg.custom_keys'
    for key, value in (get_setting(cfg, path) or {}).items():
        if not isinstance(value, Mapping):
            raise SettingError(
                f'{path}.{key}={value!r} must be a dict, such as '
                'dict(lr_mult=0.1, decay_mult=1.0)',
                [f'{path}.{key}'],
            )


def check_optimizer(cfg: Mapping) -> None:
    """The optimizer is a registered one."""
    path = 'optim_wrapper.optimizer.type'
    kind = get_setting(cfg, path)
    if kind is not None and find_code(kind) is None:
        close = difflib.get_close_matches(kind, OPTIMIZERS.module_dict, 1)
        advice = f'did you mean {close[0]!r}? ' if close else ''
        raise SettingError(
            f'{path}={kind!r} is no registered optimizer; {advice}give '
            "torch's name of one, or register it"
        )


def check_load_from(cfg: Mapping) -> None:
    """The checkpoint to start from exists."""
    _check_checkpoint('load_from', cfg.get('load_from'))


def check_pretrained(cfg: Mapping) -> None:
    """Checkpoints of parts of the model exist; a test does not read them."""
    for path, node in find_dicts(cfg.get('model'), 'model'):
        if node.get('type') == 'Pretrained':
            _check_checkpoint(f'{path}.checkpoint', node.get('checkpoint'))


def check_amp(cfg: Mapping) -> None:
    """Mixed precision needs what mmengine's wrapper runs on."""
    path = 'optim_wrapper.type'
    kind, device = get_setting(cfg, path), get_device()
    if kind == 'AmpOptimWrapper' and device in ('cpu', 'mps'):
        raise SettingError(
            f'{path}={kind!r}, which --amp sets, does not run on this '
            f"machine's {device!r}, only on CUDA, NPU, MLU and MUSA devices; "
            "leave --amp out, or set it to 'OptimWrapper'"
        )


def check_sync_bn(cfg: Mapping) -> None:
    """Torch synchronises norms on GPUs alone, one for each process."""
    if cfg.get('launcher') != 'pytorch' or get_device() != 'cpu':
        return
    remedies = {
        f'{path}.type={node["type"]!r}': "set it to 'NaiveSyncBN'"
        for path, node in find_dicts(cfg, '')
        if node.get('type') in ('SyncBN', 'MMSyncBN')
    }
    if cfg.get('sync_bn'):
        remedies[f'sync_bn={cfg["sync_bn"]!r}'] = (
            "leave it out, and set model.norm_cfg.type='NaiveSyncBN'"
        )
    for setting, remedy in remedies.items():
        raise SettingError(
            f'{setting} needs a GPU for each process, and there is none; '
            f'{remedy}, which CPUs synchronise too'
        )


def _check_checkpoint(path: str, value: Any) -> None:
    """Local ones must exist; URLs and ``scheme://`` are mmengine's task."""
    if value is None:
        return
    if isinstance(value, str):
        scheme, _, name = value.rpartition('://')
        name = name.partition('?')[0] if scheme == 'd2go' else name
        if (
            (scheme != 'd2go' and _is_remote(value))
            or os.path.isfile(os.path.expanduser(name))
            or (scheme == 'd2go' and name in ZOO)
        ):
            return
    raise SettingError(
        f'{path}={value!r} is not a file; give the path or the URL of a '
        'checkpoint, d2go:// and a name of its model zoo, or None to start '
        'from random weights'
    )


def _is_remote(value: str) -> bool:
    """Whether mmengine knows a scheme that a path begins with."""
    find = CheckpointLoader._get_checkpoint_loader
    return find(value) is not find('')
