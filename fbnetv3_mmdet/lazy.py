"""Modules that MMDetection imports at once and that few trainings use."""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


@contextmanager
def deferred(*packages: str) -> Iterator[None]:
    """Leave packages unloaded, for what is imported inside.

    Modules imported inside get stand-ins for the packages' modules, and for
    what they take ``from`` them; the first use of one loads the real package.
    Imports outside, before or after, are those of any other package.

    Args:
        *packages: Names of top-level packages. They need not be installed;
            one that is loaded already stays as it is.
    """
    finder = _Finder(set(packages) - sys.modules.keys())
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in finder.names:
            sys.modules.pop(name).__dict__['_is_ready'] = True


@contextmanager
def without_remarks() -> Iterator[None]:
    """Leave out what MMDetection says of optional packages when imported."""
    output = io.StringIO()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(output):
            warnings.filterwarnings('ignore', 'faster_coco_eval is not inst')
            yield
    finally:
        for line in output.getvalue().splitlines(keepends=True):
            if not line.startswith('Could not import OneDL'):
                sys.stdout.write(line)


class _Finder(MetaPathFinder, Loader):
    """Finds the modules of packages, and loads stand-ins for them."""

    def __init__(self, packages: set[str]) -> None:
        self.names: list[str] = []
        self._packages = packages

    def find_spec(self, name, path, target=None) -> ModuleSpec | None:
        if name.partition('.')[0] not in self._packages:
            return None
        return ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Module(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        self.names.append(module.__name__)


class _Module(ModuleType):
    """Stands for a module."""

    _is_ready = False

    def __getattr__(self, name: str) -> Any:
        if name.startswith('__'):
            raise AttributeError(name)
        if self._is_ready:
            return getattr(importlib.import_module(self.__name__), name)
        return _Name(self, name)


class _Name:
    """Stands for what a module has under a name: a class or a function."""

    def __init__(self, module: _Module, name: str) -> None:
        self._real = lambda: getattr(module, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._real()(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real(), name)
