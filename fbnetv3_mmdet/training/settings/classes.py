"""The classes that the dicts of a config name, and their settings."""

import inspect
from inspect import Parameter
from types import ModuleType
from typing import Any

from mmdet import registry as registries
from mmengine.registry import Registry

_REGISTRIES = (
    registries.MODELS,
    registries.TASK_UTILS,
    registries.DATASETS,
    registries.TRANSFORMS,
    registries.DATA_SAMPLERS,
    registries.HOOKS,
    registries.METRICS,
    registries.OPTIM_WRAPPERS,
    registries.OPTIMIZERS,
    registries.PARAM_SCHEDULERS,
)
_REST = Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD


def find_class(kind: Any) -> type | None:
    """Return the class that the ``type`` of a dict names, None if none."""
    kind = find_code(kind)
    return kind if isinstance(kind, type) else None


def names_code(kind: Any) -> bool:
    """Return whether the ``type`` of a dict may name a class or function.

    Registries that are not looked into may know a name.
    """
    data = bool, int, float, list, tuple, ModuleType
    return not isinstance(find_code(kind), data)


def find_code(kind: Any) -> Any:
    """Return what the ``type`` of a dict names, None if it is not known."""
    if not isinstance(kind, str):
        return kind
    for registry in _REGISTRIES:
        found = _registered(registry, kind)
        if found is not None:
            return found
    # a scope or a module before it; without, each registry imports the same
    registries = _REGISTRIES if '.' in kind else _REGISTRIES[:1]
    found = (_get(registry, kind) for registry in registries)
    return next(filter(None, found), None)


def _registered(registry: Registry, name: str) -> Any:
    """Look a name up, without importing it as ``Registry.get`` would."""
    registry.import_from_location()  # once, all that is to be found in it
    found = registry.module_dict.get(name)
    if found is None and registry.parent:
        return _registered(registry.parent, name)
    return found


def _get(registry: Registry, name: str) -> Any:
    try:
        return registry.get(name)
    except RuntimeError:  # '', or what else is the name of no module
        return None


def defaults_of(kind: type) -> dict[str, Any]:
    """Return a class's settings, with those that it passes to its bases."""
    defaults: dict[str, Any] = {}
    for base in kind.__mro__:
        if '__init__' in vars(base):
            _, *named = inspect.signature(base.__init__).parameters.values()
            for parameter in named:
                if parameter.kind not in _REST:
                    defaults.setdefault(parameter.name, parameter.default)
            if Parameter.VAR_KEYWORD not in [p.kind for p in named]:
                break
    return defaults
