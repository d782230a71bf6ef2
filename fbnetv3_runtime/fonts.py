"""Fonts for the names of classes, which may be in any script."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

FOLDERS = (  # of Linux, macOS and Windows
    '/usr/share/fonts',
    '/usr/local/share/fonts',
    '~/.local/share/fonts',
    '~/.fonts',
    '/System/Library/Fonts',
    '/Library/Fonts',
    'C:/Windows/Fonts',
)
SUFFIXES = ('.otf', '.ttc', '.ttf')
NO_CHARACTER = '\U0010fffe'  # fonts draw what stands for a missing one


def show_names(
    names: Sequence[str], labels: Sequence[int], usual: Font
) -> tuple[Font, list[str]]:
    """Return a font for names of classes, and how they are shown in it.

    It is the usual one where that has all characters, or else one of this
    system that has. Where there is none, names are shown as the numbers of
    their classes, and a warning says which is which, once.

    Args:
        names: Of the classes of some objects, in one line each.
        labels: Their numbers, as many.
        usual: A font of the size that is wanted.
    """
    odd = frozenset(c for name in names for c in name if not c.isascii())
    if not odd or _has(usual, odd):
        return usual, list(names)
    file = _find(odd, FOLDERS)
    if file:
        return ImageFont.truetype(file, usual.size), list(names)
    missing = {
        label: name
        for label, name in zip(labels, names, strict=True)
        if not _has(usual, name)
    }
    for label, name in sorted(missing.items()):
        _warn(label, name)
    return usual, [
        f'class {label}' if label in missing else name
        for label, name in zip(labels, names, strict=True)
    ]


@functools.cache
def _warn(label: int, name: str) -> None:
    warnings.warn(
        f'no font of this system has the characters of {name!r}: pictures '
        f'show it as class {label}; install one, such as Noto Sans CJK',
        stacklevel=2,
    )


@functools.lru_cache(64)
def _find(characters: frozenset[str], folders: tuple[str, ...]) -> str | None:
    """Return the file of a font that has some characters, None without one."""
    for file in _files(folders):
        try:
            font = ImageFont.truetype(file, 12)
        except OSError:  # it is none, or damaged
            continue
        if _has(font, characters):
            return file
    return None


def _files(folders: Iterable[str]) -> Iterator[str]:
    for folder in folders:
        files = Path(folder).expanduser().rglob('*')
        yield from sorted(
            str(file)
            for file in files
            if file.suffix.lower() in SUFFIXES
            # which draws for any character a box with its script
            and 'LastResort' not in file.name
        )


def _has(font: Font, characters: Iterable[str]) -> bool:
    """Whether a font draws characters, and no boxes in their place."""
    if not hasattr(font, 'size'):  # a bitmap of old Pillows: Latin
        return all(ord(character) < 256 for character in characters)
    missing = bytes(font.getmask(NO_CHARACTER))
    return all(
        character.isspace() or bytes(font.getmask(character)) != missing
        for character in characters
    )
