"""Errors: a user's mistakes in one line, bugs with their traceback."""

from __future__ import annotations

import errno
import functools
import importlib.util
import re
import sys
import sysconfig
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

_FRAMEWORK = ('fbnetv3_mmdet', 'mmcv', 'mmdet', 'mmengine')
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)

# How mmengine's registries and Python report a wrong config: what of the
# message to show, and what to do.
_REPORTS = (
    (
        KeyError,
        r'^\S+ is not in the .+? registry',
        'correct the type in the config, or import the module that defines '
        'it there, with custom_imports',
    ),
    (
        KeyError,
        r'^.*must contain the key "type", but got .*',
        'name the type in the config',
    ),
    (
        TypeError,
        r'^.*(got an unexpected keyword argument|missing \d+ required) .*',
        'correct the keys beside this type in the config',
    ),
    (
        TypeError,
        r'^cfg should be a dict.*',
        'give a dict with a type where the config has something else',
    ),
)


class SettingError(ValueError):
    """A setting is wrong.

    Args:
        message: One line: the setting, its value, what is allowed, the remedy.
        paths: The dotted paths of the settings that the message is about;
            none given: the path that the message begins with.
    """

    def __init__(self, message: str, paths: Sequence[str] = ()) -> None:
        super().__init__(message)
        first = re.match(r'[A-Za-z_][\w.]*(?=[= ])', message)
        self.paths = tuple(paths) or ((first[0],) if first else ())


@contextmanager
def user_errors() -> Iterator[None]:
    """Turn a user's mistake into one line on stderr and exit status 2.

    Mistakes are the ValueErrors of checks and modules, files and packages
    that are missing, and configs that name an unknown type or key. Anything
    else is a bug and keeps its traceback, as does whatever is raised once
    iterations have begun, but for disks that are full or read-only.

    Raises:
        SystemExit: With status 2, for a mistake; 1, for a disk.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
            sys.stderr.write(
                f'error: {text_of(error)}; make room on this disk '
                'or make it writable\n'
            )
            raise SystemExit(1) from None
        checked = isinstance(error, SettingError)
        began = in_iterations(error) and not checked
        line = None if began else _one_line(error)
        if line is None:
            raise
        sys.stderr.write(f'error: {line}\n')
        raise SystemExit(2) from None


def as_report(error: Exception) -> tuple[str, str] | None:
    """Return what a report of a wrong config says, and the remedy.

    It is None for any other error.
    """
    for kind, pattern, remedy in _REPORTS:
        found = isinstance(error, kind) and re.search(pattern, text_of(error))
        if found:
            return found[0], remedy
    return None


def text_of(error: Exception) -> str:
    """Return an error's message in one line; a KeyError's without quotes."""
    is_key = isinstance(error, KeyError) and error.args
    whole = error.args[0] if is_key else error
    # mmengine appends hooks, by their addresses
    text = re.sub(r' in <\S+ object at 0x\w+>', '', str(whole))
    return ' '.join(text.split())


def in_iterations(error: Exception) -> bool:
    """Whether a training, validation or test loop was running."""
    return any(map(is_loop, frames(error)))


def frames(error: BaseException) -> Iterator[FrameType]:
    """Return the frames that an error passed, the outermost first."""
    return (frame for frame, _ in traceback.walk_tb(error.__traceback__))


def in_users_code(error: BaseException) -> bool:
    """Whether an error was raised in a user's code, or by what that called.

    Files of Python and of installed packages are nobody's; of the others
    that an error passed, the innermost counts.
    """
    framework, libraries = _folders()
    files = [frame.f_code.co_filename for frame in frames(error)]
    for file in reversed(files):
        if file.startswith(framework):
            return False
        if not file.startswith(('<', *libraries)):
            return True
    return False


def is_users_bug(error: BaseException) -> bool:
    """Whether a user's own code failed, other than by a check's ValueError."""
    return not isinstance(error, ValueError) and in_users_code(error)


@functools.cache
def _folders() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return where the packages that read configs are, and all libraries."""
    specs = map(importlib.util.find_spec, _FRAMEWORK)
    paths = sysconfig.get_paths()
    return (
        tuple(place for s in specs for place in s.submodule_search_locations),
        tuple(paths[key] for key in ('stdlib', 'purelib', 'platlib')),
    )


def is_loop(frame: FrameType) -> bool:
    """Whether a frame is the run of a training, validation or test loop."""
    # Where MMEngine, which brings PyTorch, was not imported, no loop runs.
    loops = sys.modules.get('mmengine.runner')
    return bool(loops) and (
        frame.f_code.co_name == 'run'
        and isinstance(frame.f_locals.get('self'), loops.BaseLoop)
    )


def _one_line(error: Exception) -> str | None:
    """Return what to tell the user, None where it is not their mistake."""
    if isinstance(error, (ValueError, OSError, ImportError)):
        return text_of(error)
    if in_users_code(error):
        return None
    return '; '.join(as_report(error) or ()) or None
