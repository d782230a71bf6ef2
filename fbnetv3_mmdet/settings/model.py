"""Rules for the model, its training and its initial weights."""

import copy
import inspect
import math
import os
from collections.abc import Iterator, Mapping
from inspect import Parameter
from itertools import accumulate
from operator import mul
from typing import Any

import torch
from mmdet.registry import MODELS
from mmengine.device import get_device

from ..archs import get_arch
from ..models import (
    FBNetV3,
    FBNetV3MaskHead,
    FBNetV3RoIExtractor,
    FBNetV3RPNHead,
    FBNetV3SharedHead,
)
from .paths import as_list, find_dicts, get_setting

# What can be built by itself, and so be checked by building it.
PARTS = (
    FBNetV3,
    FBNetV3MaskHead,
    FBNetV3RPNHead,
    FBNetV3RoIExtractor,
    FBNetV3SharedHead,
)
COUNTS = (
    'train_cfg.max_epochs',
    'train_cfg.max_iters',
    'train_dataloader.batch_size',
    'val_dataloader.batch_size',
    'test_dataloader.batch_size',
)


def check_parts(cfg: Mapping) -> None:
    """FBNetV3 modules must accept their settings: arch, norm and the rest."""
    for path, kind, part in _parts(cfg):
        known = _defaults(kind)
        for key, value in part.items():
            if key not in (*known, 'type', '_scope_'):
                raise ValueError(
                    f'{path}.{key}={value!r} is no setting of '
                    f'{kind.__name__}; choose one of {sorted(known)}, or '
                    'remove it'
                )
        try:
            with torch.device('meta'):  # no memory or time for weights
                MODELS.build(copy.deepcopy(part))
        except (AssertionError, KeyError, TypeError) as error:
            raise ValueError(
                f'{path}: {error!r}; correct the settings of this module'
            ) from error
        except ValueError as error:
            separator = '.' if str(error).startswith((*known,)) else ': '
            raise ValueError(f'{path}{separator}{error}') from error


def check_one_arch(cfg: Mapping) -> None:
    """A head without ``in_channels`` takes those of its own ``arch``."""
    parts = [
        (path, _defaults(kind) | part)
        for path, kind, part in _parts(cfg)
        if kind is FBNetV3
        or ('arch' in _defaults(kind) and part.get('in_channels') is None)
    ]
    for key, same in (('arch', get_arch), ('width', float)):
        for path, part in parts[1:]:
            first, reference = parts[0][0], parts[0][1][key]
            if same(part[key]) != same(reference):
                raise ValueError(
                    f'{path}.{key}={part[key]!r} differs from '
                    f'{first}.{key}={reference!r}; give '
                    f'{", ".join(place for place, _ in parts)} the same '
                    f'{key}, or where the mixture is meant set '
                    f'{path}.in_channels too'
                )


def check_strides(cfg: Mapping) -> None:
    """Without a neck, anchors and regions lie on the trunk's features."""
    backbone = get_setting(cfg, 'model.backbone')
    if _kind(backbone) is not FBNetV3 or get_setting(cfg, 'model.neck'):
        return
    settings = _defaults(FBNetV3) | backbone
    stages = get_arch(settings['arch']).trunk
    strides = list(accumulate((_stride(stage) for stage in stages), mul))
    levels = [strides[i] for i in sorted(settings['out_indices'])]
    for path, whole in (
        ('model.rpn_head.anchor_generator.strides', True),
        ('model.roi_head.bbox_roi_extractor.featmap_strides', False),
        ('model.roi_head.mask_roi_extractor.featmap_strides', False),
    ):
        value = get_setting(cfg, path)
        given = [as_list(stride)[0] for stride in as_list(value)]
        wanted = levels if whole else levels[: len(given)]
        if value is not None and given != wanted:
            raise ValueError(
                f'{path}={value!r} does not fit model.backbone.out_indices='
                f'{settings["out_indices"]!r}, features of strides {levels}; '
                'set these strides, or other out_indices'
            )


def check_thresholds(cfg: Mapping) -> None:
    """IoU thresholds: 0 <= lower <= upper <= 1."""
    training = get_setting(cfg, 'model.train_cfg')
    for path, assigner in find_dicts(training, 'model.train_cfg'):
        if {'neg_iou_thr', 'pos_iou_thr'} <= set(assigner):
            lower, upper = assigner['neg_iou_thr'], assigner['pos_iou_thr']
            bounds = [0, *as_list(lower), upper, 1]
            if not all(map(_is_number, bounds)) or bounds != sorted(bounds):
                raise ValueError(
                    f'{path}.neg_iou_thr={lower!r} and {path}.pos_iou_thr='
                    f'{upper!r} must be numbers with 0 <= lower <= upper <= '
                    '1, a box between them being ignored; usual are 0.3 and '
                    '0.7 for rpn, 0.5 and 0.5 for rcnn'
                )


def check_proposals(cfg: Mapping) -> None:
    """Proposals before and after NMS: positive, after <= before."""
    strides = 'model.rpn_head.anchor_generator.strides'
    levels = len(as_list(get_setting(cfg, strides)))
    for path in ('model.train_cfg.rpn_proposal', 'model.test_cfg.rpn'):
        before = _count(cfg, f'{path}.nms_pre')
        after = _count(cfg, f'{path}.max_per_img')
        if before and after and after > before * levels:
            raise ValueError(
                f'{path}.max_per_img={after}, the proposals after NMS, is '
                f'more than there are before, {path}.nms_pre={before} from '
                f'each of {levels} feature level(s); lower max_per_img or '
                'raise nms_pre'
            )


def check_counts(cfg: Mapping) -> None:
    """Lengths and batch sizes are positive integers."""
    for path in COUNTS:
        _count(cfg, path)


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
        raise ValueError(
            f'{path}={kind!r}, which --amp sets, does not run on this '
            f"machine's {device!r}, only on CUDA, NPU, MLU and MUSA devices; "
            "leave --amp out, or set it to 'OptimWrapper'"
        )


# check_parts comes first: later rules rely on what it has accepted.
RULES = (
    check_parts,
    check_one_arch,
    check_strides,
    check_thresholds,
    check_proposals,
    check_counts,
    check_load_from,
)
TRAINING_RULES = (check_pretrained, check_amp)


def _parts(cfg: Mapping) -> Iterator[tuple[str, type, Mapping]]:
    """Yield path, class and config of each FBNetV3 module of the model."""
    for path, node in find_dicts(cfg.get('model'), 'model'):
        kind = _kind(node)
        if kind in PARTS:
            yield path, kind, node


def _kind(node: Any) -> Any:
    """Return the class of an FBNetV3 module, else what ``type`` says."""
    kind = node.get('type') if isinstance(node, Mapping) else None
    name = kind.rpartition('.')[2] if isinstance(kind, str) else None
    return {part.__name__: part for part in PARTS}.get(name, kind)


def _defaults(kind: type) -> dict[str, Any]:
    """Return a class's settings, with those that it passes to its bases."""
    defaults: dict[str, Any] = {}
    for base in kind.__mro__:
        if '__init__' in vars(base):
            _, *named = inspect.signature(base.__init__).parameters.values()
            passes_on = named[-1].kind is Parameter.VAR_KEYWORD
            for parameter in named[:-1] if passes_on else named:
                defaults.setdefault(parameter.name, parameter.default)
            if not passes_on:
                break
    return defaults


def _stride(stage: tuple) -> int:
    return math.prod(row.stride for row in stage)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _count(cfg: Mapping, path: str) -> int | None:
    """Return a setting that must be a positive integer, where it is set."""
    value = get_setting(cfg, path)
    if value is not None and (type(value) is not int or value < 1):
        raise ValueError(
            f'{path}={value!r} must be a positive integer; give one'
        )
    return value


def _check_checkpoint(path: str, value: Any) -> None:
    """Local ones must exist; URLs and ``scheme://`` are mmengine's task."""
    is_path = isinstance(value, str)
    if (
        value is None
        or is_path
        and ('://' in value or os.path.isfile(os.path.expanduser(value)))
    ):
        return
    raise ValueError(
        f'{path}={value!r} is not a file; give the path or the URL of a '
        'checkpoint, or None to start from random weights'
    )
