"""The space and the identity of a search, from the user's config."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from mmdet.utils import get_test_pipeline_cfg
from mmengine.config import Config

from ..deploy.support import check_pipeline
from ..errors import SettingError
from ..paths import get_setting
from .configs import ARCH, value_at
from .options import Options
from .space import PROPOSALS, Space, make_space
from .widths import is_exported, usual_widths

_SAMPLER = 'model.train_cfg.rcnn.sampler'
_OPTIMIZER = 'optim_wrapper.optimizer'
_DETECTORS = ('FBNetV3OD', 'FBNetV3IS')


def read_space(cfg: Config, options: Options) -> Space:
    """Return the space around a user's config.

    Raises:
        SettingError: ``search.space`` does not fit the config.
    """
    given, settings = options.space, cfg.to_dict()
    searched = given.get('arch', True)
    if searched not in (True, None):
        raise SettingError(
            f'search.space.arch={searched!r} must be True, to search the '
            'architecture too, or None, to search the recipe alone'
        )
    widths = usual_widths(settings) if searched else {}
    recipe = given.get('recipe')
    recipe = usual_recipe(settings) if recipe is None else recipe
    if not isinstance(recipe, Mapping):
        raise SettingError(
            f'search.space.recipe={recipe!r} must be a dict of dotted paths'
        )
    recipe = {**widths, **recipe}
    baseline = {path: value_at(settings, path) for path in recipe}
    if widths or not searched:
        _check_limit(options, recipe)
        return make_space(None, recipe, baseline, (0, 0))
    arch = get_setting(settings, ARCH)
    _check_arch(settings, arch)
    width, height = check_pipeline(get_test_pipeline_cfg(cfg))['scale']
    regions = get_setting(settings, PROPOSALS)
    return make_space(arch, recipe, baseline, (height, width), regions)


def usual_recipe(cfg: Mapping) -> dict[str, Any]:
    """Return ranges around a config's own recipe, of what it has.

    The learning rate, weight decay, the average of weights, the warm-up's
    length, regions and their share of objects.
    """
    recipe: dict[str, Any] = {}
    for path, factor in (
        (f'{_OPTIMIZER}.lr', 4),
        (f'{_OPTIMIZER}.weight_decay', 10),
        *((path, 4) for path in _averages(cfg)),
    ):
        value = value_or_none(cfg, path)
        if value:
            low, high = value / factor, min(value * factor, 1.0)
            recipe[path] = dict(log=(low, high))
    warm_up = value_or_none(cfg, 'param_scheduler.0.end')
    if warm_up:
        recipe['param_scheduler.0.end'] = sorted(
            {max(1, warm_up // 4), max(1, warm_up // 2), warm_up, 2 * warm_up}
        )
    number = get_setting(cfg, f'{_SAMPLER}.num')
    if number:
        recipe[f'{_SAMPLER}.num'] = [max(2, number // 2), number, 2 * number]
        recipe[f'{_SAMPLER}.pos_fraction'] = [0.25, 0.5]
    return recipe


def value_or_none(cfg: Mapping, path: str) -> Any:
    """Return the value at a path whose lists have numbers, if any."""
    try:
        return value_at(cfg, path)
    except ValueError:
        return None


def identity(cfg: Config, options: Options, space: Space) -> dict[str, Any]:
    """Return what makes a search another one: all but budget and limit."""
    settings = {k: v for k, v in cfg.to_dict().items() if k != 'search'}
    text = json.dumps(settings, sort_keys=True, default=str)
    return dict(
        config=hashlib.sha256(text.encode()).hexdigest()[:16],
        genes=[list(gene) for gene in space.genes],
        length=options.length,
        metric=options.metric,
        batch=options.batch,
        seed=options.seed,
        engine=options.command or options.engine,
        threads=options.threads,
    )


def _averages(cfg: Mapping) -> list[str]:
    """Return the paths of the momenta of averages of weights."""
    hooks = cfg.get('custom_hooks') or []
    return [
        f'custom_hooks.{i}.momentum'
        for i, hook in enumerate(hooks)
        if 'EMA' in str(hook.get('type')) and 'momentum' in hook
    ]


def _check_limit(options: Options, recipe: Mapping[str, Any]) -> None:
    """Check that candidates without rows of their own differ in a cost."""
    counted = [name for name in options.limit if name != 'latency']
    if counted:
        raise SettingError(
            f'search.limit.{counted[0]} is counted of the rows of a '
            f'two-stage detector alone; leave it out, or limit the latency'
        )
    if options.limit and not any(map(is_exported, recipe)):
        raise SettingError(
            f'search.limit={dict(options.limit)} has no use where the recipe '
            'alone is searched: it costs nothing once the training is over; '
            'leave search.limit out'
        )


def _check_arch(cfg: Mapping, arch: Any) -> None:
    """Check that a config's architecture can be searched."""
    kind = get_setting(cfg, 'model.type')
    if kind not in _DETECTORS or arch is None:
        raise SettingError(
            f'search.space.arch: the architecture of model.type={kind!r} '
            f'with {ARCH}={arch!r} cannot be searched, only that of '
            f'{[*_DETECTORS]} with a {ARCH}; set search.space=dict(arch=None) '
            'to search the recipe alone'
        )
    frozen = get_setting(cfg, 'model.backbone.frozen_stages')
    if frozen and frozen > 0:
        raise SettingError(
            f'model.backbone.frozen_stages={frozen} would keep layers of a '
            'new architecture at their random weights; set it to 0, or set '
            'search.space=dict(arch=None) to search the recipe alone'
        )
