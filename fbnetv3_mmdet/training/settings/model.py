"""Rules for the FBNetV3 modules of a model."""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from mmdet.registry import MODELS

from ...archs import (
    get_arch,
    head_rows,
    scale_channels,
    trunk_channels,
    trunk_features,
)
from ...errors import SettingError
from ...models import (
    FBNetV3,
    FBNetV3MaskHead,
    FBNetV3RoIExtractor,
    FBNetV3RPNHead,
    FBNetV3SharedHead,
)
from ...models.detector import SHARED, share_settings
from ...paths import as_list, find_dicts, get_setting, is_list
from .building import named_errors
from .classes import defaults_of
from .keys import refuse_unknown

# What can be built by itself, and so be checked by building it.
PARTS = (
    FBNetV3,
    FBNetV3MaskHead,
    FBNetV3RPNHead,
    FBNetV3RoIExtractor,
    FBNetV3SharedHead,
)
# Necks that take each of the backbone's features, in their order.
_NECKS = (
    *('FPN', 'PAFPN', 'NASFPN', 'FPG', 'FPN_CARAFE', 'FPN_DropBlock'),
    *('ChannelMapper', 'YOLOXPAFPN', 'CSPNeXtPAFPN'),
)


def check_model(cfg: Mapping) -> None:
    """There is a model; a config that inherits nothing has none."""
    if not isinstance(cfg.get('model'), Mapping):
        raise SettingError(
            f'model={cfg.get("model")!r} must be a dict with the type and '
            'the parts of a detector; inherit a config that has one, by '
            '_base_'
        )


def check_parts(cfg: Mapping) -> None:
    """FBNetV3 modules must accept their settings: arch, norm and the rest."""
    try:
        shared = dict(model=share_settings(cfg['model']))
    except ValueError as error:
        raise SettingError(f'model.{error}') from error
    for path, kind, part in _parts(shared):
        refuse_unknown(path, part, defaults_of(kind), kind.__name__)
        try:
            # on meta: no memory or time for weights
            with named_errors(shared), torch.device('meta'):
                MODELS.build(copy.deepcopy(part))
        except ValueError as error:
            raise SettingError(
                _at_its_source(str(error), path, cfg)
            ) from error


def _at_its_source(message: str, path: str, cfg: Mapping) -> str:
    """Name the detector's setting where a part's own is not set."""
    for key in SHARED:
        place = f'{path}.{key}'
        if message.startswith(place) and get_setting(cfg, place) is None:
            return f'model.{key}{message.removeprefix(place)}'
    return message


def check_one_arch(cfg: Mapping) -> None:
    """A head without ``in_channels`` takes those of its own ``arch``."""
    parts = [
        (path, defaults_of(kind) | part)
        for path, kind, part in _parts(cfg)
        if kind is FBNetV3
        or ('arch' in defaults_of(kind) and part.get('in_channels') is None)
    ]
    for key, same in (('arch', get_arch), ('width', float)):
        for path, part in parts[1:]:
            first, reference = parts[0][0], parts[0][1][key]
            if same(part[key]) != same(reference):
                raise SettingError(
                    f'{path}.{key}={part[key]!r} differs from '
                    f'{first}.{key}={reference!r}; give '
                    f'{", ".join(place for place, _ in parts)} the same '
                    f'{key}, or where the mixture is meant set '
                    f'{path}.in_channels too'
                )


def check_strides(cfg: Mapping) -> None:
    """Without a neck, anchors and regions lie on the trunk's features."""
    out_indices, levels = _features(cfg)
    strides = [stride for stride, _ in levels]
    for path, whole in (
        ('model.rpn_head.anchor_generator.strides', True),
        ('model.roi_head.bbox_roi_extractor.featmap_strides', False),
        ('model.roi_head.mask_roi_extractor.featmap_strides', False),
    ):
        value = get_setting(cfg, path)
        given = [as_list(stride)[0] for stride in as_list(value)]
        wanted = strides if whole else strides[: len(given)]
        if levels and value is not None and given != wanted:
            raise SettingError(
                f'{path}={value!r} does not fit model.backbone.out_indices='
                f'{out_indices!r}, features of strides {strides}; '
                'set these strides, or other out_indices'
            )


def check_channels(cfg: Mapping) -> None:
    """Each FBNetV3 module must get as many channels as it takes."""
    out_indices, levels = _features(cfg)
    for path, kind, part in _parts(cfg):
        settings = defaults_of(kind) | part
        value = settings.get('in_channels')
        given = [channels for _, channels in levels]
        source = f'model.backbone.out_indices={out_indices!r}'
        if kind is FBNetV3:
            mean = get_setting(cfg, 'model.data_preprocessor.mean') or ()
            given = [3] * (len(mean) == 3)
            source = f'model.data_preprocessor.mean={mean!r}'
        elif 'in_channels' not in settings:
            continue
        elif 'roi_head' in path:
            given = given[:1]
        wanted = value or trunk_channels(settings['arch'], settings['width'])
        if any(channels != wanted for channels in given):
            raise SettingError(
                f'{path}.in_channels={value!r}, which means {wanted}, does '
                f'not fit {source}, of {given} channels; set '
                f'{path}.in_channels={given[0]}, or change the other'
            )


def check_neck(cfg: Mapping) -> None:
    """A neck that lists its channels must list those of all features."""
    neck = get_setting(cfg, 'model.neck')
    path = 'model.neck.0' if is_list(neck) else 'model.neck'
    first = next(iter(as_list(neck)), None)
    value = first.get('in_channels') if _kind(first) in _NECKS else None
    out_indices, levels = _backbone_features(cfg)
    channels = [channels for _, channels in levels]
    if levels and value is not None and as_list(value) != channels:
        raise SettingError(
            f'{path}.in_channels={value!r} does not fit model.backbone.'
            f'out_indices={out_indices!r}, features of {channels} channels; '
            f'set {path}.in_channels={channels}, or other out_indices'
        )


def check_one_stage_head(cfg: Mapping) -> None:
    """A one-stage head must take what its neck gives."""
    neck = get_setting(cfg, 'model.neck')
    if isinstance(neck, Mapping) and _kind(neck) in _NECKS:
        source, path = 'model.neck.out_channels', 'model.bbox_head.in_channels'
        given, taken = get_setting(cfg, source), get_setting(cfg, path)
        if type(given) is type(taken) is int and given != taken:
            raise SettingError(
                f'{path}={taken} does not fit {source}={given}; set both to '
                'one number',
                [path, source],
            )


def check_box_head(cfg: Mapping) -> None:
    """The box head must take what the shared head gives: 1x1 features."""
    shared = get_setting(cfg, 'model.roi_head.shared_head')
    path = 'model.roi_head.bbox_head'
    head = get_setting(cfg, path)
    if _kind(shared) is not FBNetV3SharedHead or not isinstance(head, Mapping):
        return
    settings = defaults_of(FBNetV3SharedHead) | shared
    rows = head_rows(settings['arch'], 'bbox')
    channels = scale_channels(rows[-1].channels, settings['width'])
    # the defaults of MMDetection's BBoxHead, which others override
    plain = head.get('type') == 'BBoxHead'
    for key, default, wanted in (
        ('in_channels', channels, [channels]),
        ('roi_feat_size', 7, [1, [1, 1], (1, 1)]),
        ('with_avg_pool', False, [True] if plain else [True, False]),
    ):
        value = head.get(key, default)
        if value not in wanted:
            raise SettingError(
                f'{path}.{key}={value!r} does not fit '
                f'model.roi_head.shared_head, which gives {channels} channels '
                f'of 1x1 cells; set {path}.{key}={wanted[0]!r}'
            )


def check_fused_norms(cfg: Mapping) -> None:
    """What ``efficient_conv_bn_eval`` traces must be as it is in evaluation.

    torch.fx traces into the norms that take the place of SyncBN in a single
    process, in training mode: they would evaluate by the batch.
    """
    value = cfg.get('efficient_conv_bn_eval')
    for path, kind, part in _parts(cfg) if value else ():
        norm = get_setting(part, 'norm_cfg.type')
        for key, wrong, remedy in (
            ('norm_cfg.type', norm == 'SyncBN', "'NaiveSyncBN'"),
            ('with_cp', part.get('with_cp'), 'False'),
        ):
            if kind is FBNetV3 and wrong:
                place = f'{path}.{key}'
                raise SettingError(
                    f'efficient_conv_bn_eval={value!r} does not go with '
                    f'{place}={get_setting(part, key)!r}, which torch.fx '
                    f'cannot trace; set {place}={remedy}, or leave '
                    'efficient_conv_bn_eval out',
                    ('efficient_conv_bn_eval', place),
                )


def _parts(cfg: Mapping) -> Iterator[tuple[str, type, Mapping]]:
    """Yield path, class and config of each FBNetV3 module of the model."""
    for path, node in find_dicts(cfg.get('model'), 'model'):
        kind = _kind(node)
        if kind in PARTS:
            yield path, kind, node


def _features(cfg: Mapping) -> tuple[Any, list[tuple[int, int]]]:
    """Return ``out_indices`` and its features' strides and channels.

    There are none where a neck, or another backbone, makes others.
    """
    if get_setting(cfg, 'model.neck'):
        return None, []
    return _backbone_features(cfg)


def _backbone_features(cfg: Mapping) -> tuple[Any, list[tuple[int, int]]]:
    backbone = get_setting(cfg, 'model.backbone')
    if _kind(backbone) is not FBNetV3:
        return None, []
    settings = defaults_of(FBNetV3) | backbone
    features = trunk_features(settings['arch'], settings['width'])
    indices = settings['out_indices']
    return indices, [features[i] for i in sorted(indices)]


def _kind(node: Any) -> Any:
    """Return the class of an FBNetV3 module, else what ``type`` says."""
    kind = node.get('type') if isinstance(node, Mapping) else None
    name = kind.rpartition('.')[2] if isinstance(kind, str) else None
    return {part.__name__: part for part in PARTS}.get(name, kind)
