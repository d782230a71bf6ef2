"""Rules for keys: what nothing reads is misspelt, or in a wrong place."""

import difflib
import inspect
import re
import reprlib
from collections.abc import Collection, Iterator, Mapping

from mmdet.datasets import CocoDataset
from mmdet.registry import TASK_UTILS
from mmengine.dataset import BaseDataset
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from ...data import CheckedCocoDataset
from ...errors import SettingError
from ...paths import find_dicts, get_setting
from .classes import defaults_of, find_class
from .table import AT_PLACE, CLOSED, PARAMWISE

# What mmengine and MMDetection read of a config. Its other variables, such as
# ``arch`` or ``data_root``, have been used up when it is loaded.
SETTINGS = {
    *set(inspect.signature(Runner).parameters) - {'cfg'},
    'activation_checkpointing',
    'compile',
    'efficient_conv_bn_eval',
    'find_unused_parameters',
    'model_wrapper_cfg',
    'runner_type',
    'sync_bn',
    'tta_model',
    'tta_pipeline',
}
# Settings of MMDetection 2, and where 3 has them.
_OLD = {
    'checkpoint_config': 'default_hooks.checkpoint',
    'evaluation': 'val_evaluator',
    'log_config': 'default_hooks.logger',
    'lr_config': 'param_scheduler',
    'optimizer': 'optim_wrapper.optimizer',
    'resume_from': 'load_from',
    'runner': 'train_cfg',
    'seed': 'randomness.seed',
    'total_epochs': 'train_cfg.max_epochs',
    'workflow': 'train_cfg.val_interval',
}

# Settings that mmengine reads and that no detector can be trained with: what
# is allowed nevertheless, and why nothing else is.
_UNUSABLE = {
    'compile': (
        (None, False),
        "torch.compile fails in a detector's optimizer step and NMS; leave "
        'it out',
    ),
    'runner_type': (
        (None, 'Runner', 'BriefRunner'),
        'FlexibleRunner neither resumes with averaged weights nor tests a '
        "detector, and others are not known; leave it out, or set 'Runner'",
    ),
}

_LOADER = (
    *inspect.signature(DataLoader).parameters,
    'num_batch_per_epoch',
    'disable_subprocess_warning',
)
# Of all data sets: configs of one format are made from those of another.
_PREFIXES = ('img', 'img_path', 'seg', 'seg_map_path', 'sub_data_root')
_TARGETS = ('assigner', 'sampler', 'pos_weight', 'debug')
_PROPOSALS = ('nms_pre', 'max_per_img', 'nms', 'min_bbox_size')
_BEST = ('score_thr', 'nms', 'max_per_img')

# What MMDetection's heads read of ``model.train_cfg`` and ``test_cfg``.
_TWO_STAGE = {
    'model.train_cfg': ('rpn', 'rpn_proposal', 'rcnn'),
    'model.train_cfg.rpn': (*_TARGETS, 'allowed_border'),
    'model.train_cfg.rpn_proposal': _PROPOSALS,
    'model.train_cfg.rcnn': (*_TARGETS, 'mask_size'),
    'model.test_cfg': ('rpn', 'rcnn'),
    'model.test_cfg.rpn': _PROPOSALS,
    'model.test_cfg.rcnn': (*_BEST, 'mask_thr_binary'),
}
_ONE_STAGE = {
    'model.train_cfg': (*_TARGETS, 'allowed_border'),
    'model.test_cfg': (*_BEST, 'nms_pre', 'min_bbox_size'),
}
_HEADS = ('rpn_head', 'roi_head', 'bbox_head')
_LAYOUTS = (  # types of detectors, types of heads, what they read
    (
        ('FBNetV3OD', 'FBNetV3IS', 'FasterRCNN', 'MaskRCNN'),
        ('FBNetV3RPNHead', 'RPNHead', 'FBNetV3RoIHead', 'StandardRoIHead'),
        _TWO_STAGE,
    ),
    (
        ('RetinaNet', 'FCOS', 'GFL', 'ATSS', 'RTMDet'),
        ('RetinaHead', 'FCOSHead', 'GFLHead', 'ATSSHead', 'RTMDetSepBNHead'),
        _ONE_STAGE,
    ),
)


def check_keys(cfg: Mapping) -> None:
    """What nothing reads must not stand in a dict that takes any key."""
    for path, known in (*_closed(cfg), *_of_heads(cfg)):
        node = get_setting(cfg, path)
        if isinstance(node, Mapping):
            refuse_unknown(path, node, known, path)
    for path, node in find_dicts(cfg, ''):
        kind = find_class(node.get('type'))
        if kind and _is_lax(path, kind):
            # mmengine takes the priority of hooks away
            known = {*defaults_of(kind), 'priority'}
            refuse_unknown(path, node, known, kind.__name__)


def check_names(cfg: Mapping) -> None:
    """No variable has nearly the name of a setting, or an old one's."""
    for name in cfg:
        place = _OLD.get(name)
        # a variable of such a name may have been used up
        if place and cfg[name] != get_setting(cfg, place):
            more = ', and resume=True' if name == 'resume_from' else ''
            raise SettingError(
                f'{name}={reprlib.repr(cfg[name])} is read by nothing since '
                f'MMDetection 3; set {place} in its place{more}'
            )
        if name not in SETTINGS and not _is_variant(name):
            swapped = [s for s in SETTINGS if sorted(s) == sorted(name)]
            close = difflib.get_close_matches(name, SETTINGS, 1, cutoff=0.9)
            for meant in (swapped + close)[:1]:
                value = reprlib.repr(cfg[name])
                raise SettingError(
                    f'{name}={value} is read by nothing; did you mean '
                    f'{meant!r}? Correct it, or give a variable of '
                    'your own a name that looks less like it'
                )


def check_usable(cfg: Mapping) -> None:
    """Settings of mmengine with which a run would fail later stay out."""
    for name, (allowed, reason) in _UNUSABLE.items():
        value = cfg.get(name)
        if value not in allowed:
            raise SettingError(
                f'{name}={reprlib.repr(value)} cannot be used: {reason}',
                [name],
            )


def check_datasets(cfg: Mapping) -> None:
    """What a dataset does not know of its dicts, it leaves."""
    for path, node in find_dicts(cfg, ''):
        kind = find_class(node.get('type'))
        if kind and issubclass(kind, BaseDataset):
            for key, known in _of_dataset(kind, node):
                part = node.get(key)
                if isinstance(part, Mapping):
                    refuse_unknown(f'{path}.{key}', part, known, key)


def refuse_unknown(
    path: str, node: Mapping, known: Collection[str], reader: str
) -> None:
    """Refuse a key of ``node`` that is not among those that are known.

    Args:
        path: Dotted path of ``node``.
        node: A part of a config.
        known: All keys that are read.
        reader: What reads them, for the message.

    Raises:
        ValueError: There is another; the message has the closest known one.
    """
    for key, value in node.items():
        if key not in (*known, 'type', '_scope_'):
            close = difflib.get_close_matches(str(key), known, 1)
            advice = f'did you mean {close[0]!r}? ' if close else ''
            raise SettingError(
                f'{path}.{key}={value!r} is no setting of {reader}; '
                f'{advice}choose one of {sorted(known)}, or remove it'
            )


def _is_variant(name: str) -> bool:
    """Whether a variable is named after a setting, as ``train_dataloader2``.

    A plural, a number or a further word is a habit, and no slip.
    """
    suffix = re.compile(r's|\d+|_\w+')
    return any(
        name.startswith(s) and suffix.fullmatch(name, len(s)) for s in SETTINGS
    )


def _is_lax(path: str, kind: type) -> bool:
    """Whether a class takes any key, and fails by it later or leaves it."""
    if path.startswith('model.'):  # samplers and coders
        return kind in TASK_UTILS.module_dict.values()
    return issubclass(kind, CheckpointHook)


def _closed(cfg: Mapping) -> Iterator[tuple[str, Collection[str]]]:
    for path, _ in find_dicts(cfg, ''):
        for pattern in CLOSED:
            if re.fullmatch(pattern, path):
                yield path, AT_PLACE[pattern]
    for split in ('train', 'val', 'test'):
        yield f'{split}_dataloader', _LOADER
    if not get_setting(cfg, 'optim_wrapper.constructor'):
        yield 'optim_wrapper.paramwise_cfg', AT_PLACE[PARAMWISE]


def _of_heads(cfg: Mapping) -> Iterator[tuple[str, Collection[str]]]:
    """Yield places and keys, where it is known what the heads read."""
    kinds = [get_setting(cfg, f'model.{part}.type') for part in _HEADS]
    for detectors, heads, layout in _LAYOUTS:
        if get_setting(cfg, 'model.type') in detectors and all(
            kind in heads for kind in kinds if kind
        ):
            yield from layout.items()


def _of_dataset(
    kind: type[BaseDataset], node: Mapping
) -> Iterator[tuple[str, Collection[str]]]:
    """Yield keys of dicts, and what is allowed in them."""
    if issubclass(kind, CocoDataset):
        readers = CocoDataset.filter_data, CheckedCocoDataset.filter_data
        if kind.filter_data in readers:
            yield 'filter_cfg', ('filter_empty_gt', 'min_size')
        if kind.parse_data_info is CocoDataset.parse_data_info:
            yield 'data_prefix', _PREFIXES
    metainfo = node.get('metainfo')
    given = map(str, metainfo if isinstance(metainfo, Mapping) else ())
    # users may add what they like to metainfo, but nearly a known name
    known = {'classes', 'palette', *kind.METAINFO}
    yield (
        'metainfo',
        known.union(
            key
            for key in given
            if not difflib.get_close_matches(key.lower(), known, 1, 0.83)
        ),
    )
