"""The image files that an annotation file names."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from unicodedata import normalize
from urllib.parse import unquote

from PIL import Image

# Pillow's other formats are none of OpenCV's; one of them runs Ghostscript.
Image.init()
FORMATS = [
    name
    for name in 'AVIF BMP GIF JPEG JPEG2000 PNG PPM TIFF WEBP'.split()
    if name in Image.OPEN  # AVIF is not in every Pillow
]
ORIENTATION = 0x0112  # EXIF tag
SWAPPED = range(5, 9)  # its values that exchange width and height


def find_missing(names: Iterable[str], folder: Path) -> dict[str, str | None]:
    """Return the names of which there is no file.

    Args:
        names: As an annotation file has them; none leaves the folder.
        folder: What they start from.

    Returns:
        dict: To each of them the name under which the file is there: with
        slashes for backslashes, without URL escapes, in another Unicode form
        or case, or without the folders it begins with. None: there is none.
    """
    missing = [name for name in names if not _is_file(folder, name)]
    if not missing:
        return {}
    known: dict[str, str | None] = {}
    for file in _walk(folder):
        key = _plain(file)
        known[key] = None if key in known else file  # None: which is meant?
    found: dict[str, str | None] = {}
    for name in missing:
        others = filter(None, map(known.get, _spellings(name)))
        found[name] = next((o for o in others if _is_file(folder, o)), None)
    return found


def read_size(path: Path) -> tuple[int, int] | None:
    """Return width and height of a picture as it is read, in pixels.

    Only its header is read. None: there is no such file, or no picture.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            turned = image.getexif().get(ORIENTATION) in SWAPPED
            return image.size[::-1] if turned else image.size
    except Exception:  # Pillow raises anything on broken files
        return None


def _is_file(folder: Path, name: str) -> bool:
    try:
        return os.path.isfile(os.path.join(folder, name))
    except ValueError:  # a surrogate in it
        return False


def _walk(folder: Path) -> Iterator[str]:
    """Yield the names of all files in a folder, with slashes."""
    for place, _, files in os.walk(folder):
        inner = Path(place).relative_to(folder)
        yield from ((inner / file).as_posix() for file in files)


def _spellings(name: str) -> Iterator[str]:
    """Yield how else a file may be called, the likeliest first."""
    for text in (name, unquote(name)):
        parts = _plain(text).split('/')
        yield from ('/'.join(parts[n:]) for n in range(len(parts)))


def _plain(name: str) -> str:
    return normalize('NFC', name.replace('\\', '/')).casefold()
