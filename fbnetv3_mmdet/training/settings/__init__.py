"""Checks of a whole config: what no module can see by itself.

A rule is a function of the config that raises ValueError, in one line: the
setting's dotted path, its value, what is allowed and the remedy. To add one,
enter it in ``table.py``, where it concerns a single setting; else write it
and name it in ``RULES``, or in ``TRAINING_RULES`` where it does not concern
tests. What is wrong for code that the rules do not know is named when it
fails to be built, in :func:`named_errors`.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from mmengine.config import Config

from ...errors import SettingError
from ...models.detector import share_settings
from .building import named_errors
from .data import check_split
from .frozen import check_frozen
from .keys import check_datasets, check_keys, check_names, check_usable
from .metrics import check_save_best
from .model import (
    check_box_head,
    check_channels,
    check_fused_norms,
    check_model,
    check_neck,
    check_one_arch,
    check_one_stage_head,
    check_parts,
    check_strides,
)
from .ops import check_ops
from .training import (
    check_amp,
    check_custom_keys,
    check_environment,
    check_hooks,
    check_load_from,
    check_optimizer,
    check_pretrained,
    check_proposals,
    check_rpn_targets,
    check_seed,
    check_sync_bn,
    check_thresholds,
    check_workers,
)
from .values import (
    check_choices,
    check_values,
    choice_faults,
    value_faults,
)

__all__ = ['check_settings', 'find_faults', 'named_errors']

# Later rules rely on what the first ones have accepted.
RULES = (
    check_names,
    check_usable,
    check_model,
    check_ops,
    check_values,
    check_keys,
    check_environment,
    check_sync_bn,
    check_datasets,
    check_hooks,
    check_parts,
    check_thresholds,
    check_rpn_targets,
    check_proposals,
    check_workers,
    check_seed,
    check_load_from,
    check_choices,
)
# These see each part with what its detector shares with it.
PART_RULES = (
    check_one_arch,
    check_strides,
    check_channels,
    check_neck,
    check_one_stage_head,
    check_box_head,
    check_fused_norms,
)
TRAINING_RULES = (
    check_pretrained,
    check_frozen,
    check_custom_keys,
    check_optimizer,
    check_save_best,
    check_amp,
)


def check_settings(
    cfg: Config, splits: Sequence[str] = ('train', 'val', 'test')
) -> list[str]:
    """Check the settings that users are most likely to get wrong.

    Rules for FBNetV3 modules apply to those that a model has, the others to
    any MMDetection config. Local annotation files are read, each once a
    process; remote ones, and datasets of another format than COCO's, are not
    looked into.

    Args:
        cfg (Config): A resolved config; it is not changed.
        splits (Sequence[str]): What is to run: of 'train', 'val' and 'test'
            those whose data to check. One without a dataloader is left out.

    Returns:
        A line for each kind of annotations that are left out, or not used as
        they are.

    Raises:
        SettingError: A setting is wrong, or an annotation file broken.
    """
    settings = cfg.to_dict()
    for rule in _rules(splits):
        rule(settings)
    shared = _shared(settings)
    for rule in PART_RULES:
        rule(shared)
    return sum((check_split(settings, split) for split in splits), [])


def find_faults(
    cfg: Config, splits: Sequence[str] = ('train', 'val', 'test')
) -> list[SettingError]:
    """Return all that is wrong with the settings, each with its paths.

    A rule tells of the first fault that it finds, but for values, of which
    each is told.

    Args:
        cfg (Config): A resolved config; it is not changed.
        splits (Sequence[str]): As :func:`check_settings` takes it.
    """
    settings = cfg.to_dict()
    faults = list(value_faults(settings))
    rules = [partial(rule, settings) for rule in _rules(splits)]
    rules += [lambda r=rule: r(_shared(settings)) for rule in PART_RULES]
    rules += [partial(check_split, settings, split) for split in splits]
    for rule in rules:
        try:
            rule()
        except SettingError as fault:
            if str(fault) not in map(str, faults):
                faults.append(fault)
        except Exception as error:
            if isinstance(error, ValueError):
                faults.append(SettingError(str(error)))
            elif not faults:  # it relies on what others have found wrong
                raise
    named = {path for fault in faults for path in fault.paths}
    faults += [f for f in choice_faults(settings) if not named & {*f.paths}]
    return faults


def _rules(splits: Sequence[str]) -> tuple[Callable[[Mapping], None], ...]:
    return RULES + (TRAINING_RULES if 'train' in splits else ())


def _shared(settings: Mapping) -> dict:
    return settings | dict(model=share_settings(settings['model']))
