"""What MMEngine does with the address of a checkpoint."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mmengine.logging import print_log
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import CheckpointLoader, checkpoint
from torch import Tensor, nn

from .fitting import (
    fit,
    fit_partly,
    forget_said,
    is_partial,
    mark,
    match_norms,
    source_of,
)
from .names import from_d2go, from_timm
from .reading import allow_training_checkpoints, read_checkpoint
from .zoo import ZOO, Published, fetch

_D2GO = 'd2go://'
_TIMM = 'timm://'
_PLAIN = 'ema=0'
_PART = 'fit=part'


@functools.cache
def register_schemes() -> None:
    """Let MMEngine take ``d2go://`` and ``timm://``, and fit what they give.

    A loader never sees the model, which ``load_state_dict`` does: for these
    weights it is replaced, and given any others it does what it did. Further
    calls do nothing.
    """
    register = CheckpointLoader.register_scheme
    register(_D2GO, load_from_d2go)
    register(_TIMM, load_from_timm)
    checkpoint.load_state_dict = functools.partial(
        _load_state_dict, checkpoint.load_state_dict
    )


def load_safely() -> None:
    """Let MMEngine read any checkpoint without running what it holds.

    Its own ways to read local and downloaded files are replaced in this
    process: it runs what a downloaded file holds, and onedl-mmengine what any
    file holds that ``torch.load(weights_only=True)`` refuses. Norms of all
    checkpoints may be of another type then, see :func:`.match_norms`.

    Importing the package does not call this. Our tools do, and so does
    ``CheckSettingsHook`` before a run.
    """
    allow_training_checkpoints()
    register = CheckpointLoader.register_scheme
    register('', load_from_local, force=True)
    register(('http://', 'https://'), load_from_http, force=True)
    # torchvision://, openmmlab:// and mmcls:// call it
    checkpoint.load_from_http = load_from_http


def load_from_local(filename: str, map_location: Any = None) -> Any:
    """Return what a file holds, unless it could run code."""
    forget_said()
    return read_checkpoint(str(Path(filename).expanduser()), map_location)


def load_from_http(filename: str, map_location: Any = None) -> Any:
    """Return what the file at a URL holds, downloaded the first time."""
    forget_said()
    path = Path(urlsplit(filename).path)
    # the same name at another address is another file
    digest = hashlib.sha256(filename.encode()).hexdigest()[:8]
    name = f'{path.stem}-{digest}{path.suffix}'
    return read_checkpoint(fetch(Published(filename), name), map_location)


def load_from_d2go(filename: str, map_location: Any = None) -> dict:
    """Return D2Go's weights, for MMEngine.

    Args:
        filename (str): ``d2go://``, and what :func:`read_d2go` takes.
        map_location: As ``torch.load`` takes it.
    """
    # published files are from GPUs, which this machine may not have
    state = read_d2go(filename.removeprefix(_D2GO), map_location or 'cpu')
    forget_said()
    mark(state, filename, partly=_PART in _choices(filename))
    return dict(state_dict=state)


def load_from_timm(filename: str, map_location: Any = None) -> dict:
    """Return timm's ImageNet weights of a backbone, for MMEngine.

    Args:
        filename (str): ``timm://``, and what :func:`read_timm` takes.
        map_location: Not used; the weights are on the CPU.
    """
    state = read_timm(filename.removeprefix(_TIMM))
    forget_said()
    mark(state, filename)
    return dict(state_dict=state)


def read_d2go(address: str, map_location: Any = 'cpu') -> dict[str, Tensor]:
    """Return the state dict of a checkpoint of D2Go, with our names.

    Args:
        address (str): A name of ``ZOO``, which is downloaded the first time,
            or a file's path. Averaged weights (EMA) are taken where there
            are any, unless ``?ema=0`` follows. ``?fit=part`` lets MMEngine
            load the layers whose shapes are the model's, and no others; both
            are ``?ema=0&fit=part``.
        map_location: As ``torch.load`` takes it.

    Returns:
        dict: Tensors by name; those that have no counterpart in MMDetection
        keep D2Go's names.

    Raises:
        OSError: The file cannot be downloaded.
        ValueError: There is no such file, or none of D2Go's FBNetV3.
    """
    name, choices = address.partition('?')[0], _choices(address)
    if unknown := sorted(choices - {_PLAIN, _PART}):
        raise ValueError(
            f'checkpoint={address!r} ends in {"&".join(unknown)!r}; allowed '
            f'are {_PLAIN}, which declines averaged weights, {_PART}, which '
            'loads the layers that fit, or nothing'
        )
    path = Path(name).expanduser()
    if name in ZOO:
        path = Path(fetch(ZOO[name], f'{name}.pth', _D2GO))
    elif not path.is_file():
        raise ValueError(
            f'checkpoint={address!r} is neither a file nor a published model '
            f'of D2Go; give a path, or one of {sorted(ZOO)}'
        )
    file = read_checkpoint(str(path), map_location)
    return from_d2go(_weights(file, address, averaged=_PLAIN not in choices))


def _choices(address: str) -> set[str]:
    """Return what follows the question mark of an address."""
    return {*address.partition('?')[2].split('&')} - {''}


def _weights(file: Any, address: str, averaged: bool) -> Mapping[str, Tensor]:
    """Return what a training checkpoint of D2Go, or its weights, hold."""
    if not isinstance(file, Mapping) or 'state_dict' in file:
        raise ValueError(
            f'checkpoint={address!r} is not a checkpoint of D2Go, a dict with '
            "'model'; give those of MMDetection by their paths alone"
        )
    state = file.get('model', file)
    if averaged and file.get('ema_state'):
        print_log(f'{address}: averaged weights (EMA)', logger='current')
        state = {**state, **file['ema_state']}
    return state


def read_timm(name: str) -> dict[str, Tensor]:
    """Return the state dict of a trunk of timm, with our names.

    Args:
        name (str): ``fbnetv3_b``, ``fbnetv3_d`` or ``fbnetv3_g``; then a dot
            and the tag of one of its weights, if it is not to be the default.

    Raises:
        ImportError: timm is not installed.
        OSError: timm cannot download the weights.
        ValueError: timm has no such weights.
    """
    try:
        import timm
    except ImportError as error:
        raise ImportError(
            f'{_TIMM}{name} needs timm, which is missing: pip install timm'
        ) from error
    tagged = timm.list_pretrained('fbnetv3_*')
    if name not in {*tagged, *(full.partition('.')[0] for full in tagged)}:
        raise ValueError(
            f'checkpoint={_TIMM + name!r} is not one of {tagged}; choose one, '
            'with its tag or without'
        )
    try:
        model = timm.create_model(name, pretrained=True)
    except Exception as error:  # each way to the net has errors of its own
        raise OSError(
            f'timm could not load {name}: {type(error).__name__}: '
            f'{" ".join(str(error).split())}; check the connection to its hub'
        ) from error
    return from_timm(model.state_dict())


def _load_state_dict(
    load: Callable,
    module: nn.Module,
    state_dict: Mapping[str, Tensor],
    strict: bool = False,
    logger: Any = None,
) -> None:
    """Load weights; those from ``d2go://`` and ``timm://`` must fit.

    After :func:`load_safely` the norms of others may be of another type.
    """
    wrapped = is_model_wrapper(module) or isinstance(module, BaseTTAModel)
    wanted = (module.module if wrapped else module).state_dict()
    source = source_of(state_dict)
    if source:
        fitting = fit_partly if is_partial(state_dict) else fit
        state_dict = fitting(state_dict, wanted, source)
    elif checkpoint.load_from_http is load_from_http:  # load_safely was called
        state_dict = match_norms(state_dict, wanted)
    load(module, state_dict, strict, logger)
