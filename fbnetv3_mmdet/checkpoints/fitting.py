"""Compares the tensors of a checkpoint with those of a model.

MMEngine loads what fits and logs the rest, which can leave a detector with
random weights and a warning. Weights from elsewhere have to fit instead.
"""

from __future__ import annotations

import logging
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from mmengine.logging import print_log
from torch import Tensor

# The last layers, as long as the number of classes.
_PER_CLASS = r'(.+\.)?(fc_cls|fc_reg|conv_logits)\.(weight|bias)'
_MEAN = '.running_mean'
_LISTED = 100  # names, in an error


class Fit(NamedTuple):
    """How a checkpoint fits a model, by names of tensors."""

    missing: list[str]  # in the checkpoint
    misshaped: list[str]  # with both shapes
    per_class: list[str]  # last layers, for another number of classes
    extra: list[str]  # in the checkpoint only

    @property
    def problem(self) -> str:
        """What is wrong, in one line; empty if all needed tensors fit."""
        kinds = {'missing': self.missing, 'mis-shaped': self.misshaped}
        return '; '.join(
            f'{len(names)} {kind}: {_listed(names)}'
            for kind, names in kinds.items()
            if names
        )


def compare(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Fit:
    """Compare the state dict of a checkpoint with a model's, ``wanted``."""
    misshaped, per_class = [], []
    for name in sorted(wanted.keys() & state.keys()):
        theirs, ours = state[name].shape, wanted[name].shape
        if theirs == ours:
            continue
        if re.fullmatch(_PER_CLASS, name) and theirs[1:] == ours[1:]:
            per_class.append(name)
        else:
            misshaped.append(f'{name} {tuple(theirs)}, not {tuple(ours)}')
    missing = sorted(without_counters(wanted.keys() - state.keys()))
    extra = sorted(state.keys() - wanted.keys())
    return Fit(missing, misshaped, per_class, extra)


def without_counters(names: Iterable[str]) -> list[str]:
    """Leave out what old checkpoints lack and nothing is computed from."""
    return [n for n in names if not n.endswith('.num_batches_tracked')]


def match_norms(
    state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]
) -> Mapping[str, Tensor]:
    """Return a checkpoint's tensors for a model with another type of norm.

    mmcv names a layer of GN ``gn``, and every other norm ``bn``; D2Go's names
    do not tell the types apart. Scale and shift of a norm are taken over. GN
    has no running statistics: a checkpoint's are left out, and a model's
    start anew. A line in the log says what was done.

    Args:
        state (dict): State dict of the checkpoint.
        wanted (dict): State dict of the model.
    """
    renamed = {}
    for theirs, ours in (('bn', 'gn'), ('gn', 'bn')):
        for name in state.keys() - wanted.keys():
            other = re.sub(rf'\.{theirs}\.(?=\w+$)', f'.{ours}.', name)
            if f'{other.rpartition(".")[0]}.weight' in wanted:
                renamed[name] = other
    layers = {other.rpartition('.')[0] for other in renamed.values()}
    statistics = {}
    if not any(name.endswith(_MEAN) for name in state):  # of GN
        taken = {renamed.get(name, name) for name in state}
        layers |= {
            name.removesuffix(_MEAN)
            for name in wanted
            if name.endswith(_MEAN)
            and f'{name.removesuffix(_MEAN)}.weight' in taken
        }
        statistics = {
            name: value
            for name, value in wanted.items()
            if name.rpartition('.')[0] in layers and name not in taken
        }
    if not layers:
        return state
    _say(
        f'{len(layers)} norms are of another type in the checkpoint: scale '
        'and shift are taken over, running statistics '
        + ('start anew' if statistics else 'are left out'),
        logging.WARNING if statistics else logging.INFO,
    )
    matched = OrderedDict(
        (renamed.get(name, name), value)
        for name, value in state.items()
        if renamed.get(name, name) in wanted or name not in renamed
    )
    matched.update(statistics)
    if hasattr(state, '_metadata'):  # by which some modules read old weights
        matched._metadata = state._metadata  # type: ignore[attr-defined]
    return matched


def fit(
    state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], source: str
) -> dict[str, Tensor]:
    """Return a tensor of a checkpoint for each that a model has.

    Last layers for another number of classes keep the model's own, its initial
    weights. Logs which those are, and what the model has no place for.

    Args:
        state (dict): State dict of the checkpoint, which may be that of a
            whole detector where the model is a part, such as the backbone.
        wanted (dict): State dict of the model.
        source (str): The checkpoint's name, for errors and the log.

    Raises:
        ValueError: Tensors are missing or mis-shaped; it lists them.
    """
    state = match_norms(_part(state, wanted), wanted)
    found = compare(state, wanted)
    if found.problem:
        raise ValueError(
            f'checkpoint={source!r} does not fit the model, with '
            f'{found.problem}; choose the architecture and heads that it was '
            "made for, or give it as init_cfg=dict(type='Pretrained', "
            'checkpoint=...) to the parts that it fits, such as the backbone'
        )
    if found.extra:
        places = ', '.join(_places(found.extra, wanted))
        _say(
            f'{source}: dropped {len(found.extra)} tensors that the model '
            f'has no place for, of {places}',
            logging.INFO,
        )
    if found.per_class:
        _say(
            f'{source}: re-initialised for another number of classes: '
            f'{", ".join(found.per_class)}',
            logging.WARNING,
        )
    initial = {name: wanted[name] for name in found.per_class}
    return {n: value for n, value in state.items() if n in wanted} | initial


def fit_partly(
    state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], source: str
) -> dict[str, Tensor]:
    """Return a tensor for each that a model has, its own where none fits.

    For a model that differs from the checkpoint's in some layers. Logs how
    many tensors fit. The arguments are those of :func:`fit`.

    Raises:
        ValueError: Nothing fits.
    """
    state = match_norms(_part(state, wanted), wanted)
    fitting = {
        name: value
        for name, value in state.items()
        if name in wanted and value.shape == wanted[name].shape
    }
    if not without_counters(fitting):
        raise ValueError(
            f'checkpoint={source!r} has no tensor that fits the model; leave '
            'it out to begin with random weights'
        )
    _say(
        f'{source}: {len(fitting)} of {len(wanted)} tensors fit; the others '
        'keep their initial weights',
        logging.WARNING,
    )
    return {**wanted, **fitting}


def mark(
    state: Mapping[str, Tensor], source: str, partly: bool = False
) -> None:
    """Remember where tensors come from, for :func:`source_of`.

    On the tensors themselves, for MMEngine puts them into other dicts.

    Args:
        state (dict): The tensors.
        source (str): The checkpoint's name.
        partly (bool): Whether those that fit are enough.
    """
    for tensor in state.values():
        tensor.checkpoint_source = source  # type: ignore[attr-defined]
        tensor.checkpoint_partly = partly  # type: ignore[attr-defined]


def source_of(state: Mapping[str, Tensor]) -> str | None:
    """Return what ``mark`` was told of a state dict, None for others."""
    first = next(iter(state.values()), None)
    return getattr(first, 'checkpoint_source', None)


def is_partial(state: Mapping[str, Tensor]) -> bool:
    """Whether ``mark`` was told that tensors that fit are enough."""
    first = next(iter(state.values()), None)
    return getattr(first, 'checkpoint_partly', False)


_said: set[str] = set()


def forget_said() -> None:
    """Say again of the next checkpoint what was said of the last one."""
    _said.clear()


def _say(message: str, level: int) -> None:
    """Log once a checkpoint, which MMEngine's EMA hook loads too."""
    if message not in _said:
        _said.add(message)
        print_log(message, logger='current', level=level)


def _part(
    state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]
) -> Mapping[str, Tensor]:
    """Return the tensors of the one part of a detector that is wanted."""
    first = next(iter(wanted), '')
    prefixes = {
        name.removesuffix(first)
        for name in state
        if name.endswith(f'.{first}')
    }
    if len(prefixes) != 1 or first in state:
        return state
    prefix = prefixes.pop()
    return {
        name.removeprefix(prefix): value
        for name, value in state.items()
        if name.startswith(prefix)
    }


def _places(names: Iterable[str], wanted: Iterable[str]) -> Iterable[str]:
    """Return the outermost modules of tensors that a model does not have."""
    known = {outer for name in wanted for outer in _outer(name)}
    return dict.fromkeys(
        next(outer for outer in _outer(name) if outer not in known)
        for name in names
    )


def _outer(name: str) -> list[str]:
    """Return the modules around a tensor, the outermost first, and itself."""
    parts = name.split('.')
    return ['.'.join(parts[: i + 1]) for i in range(len(parts))]


def _listed(names: list[str]) -> str:
    more = len(names) - _LISTED
    return ', '.join(names[:_LISTED]) + (f' and {more} more' * (more > 0))
