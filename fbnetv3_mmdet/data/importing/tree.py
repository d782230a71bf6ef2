"""The files of a source folder, and which of them a name means."""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote

PICTURES = {
    *'.avif .bmp .gif .jp2 .jpe .jpeg .jpg .png .ppm .tif .tiff .webp'.split()
}
SPLITS = {
    **dict.fromkeys(('train', 'training'), 'train'),
    **dict.fromkeys(('val', 'valid', 'validation'), 'val'),
    **dict.fromkeys(('test', 'testing'), 'test'),
}


class Match(NamedTuple):
    """The file that a name means."""

    file: str  # relative to the source folder
    is_spelled_so: bool  # ... and ends as the name is written


class Tree:
    """The files of a folder, none of which lies outside of it.

    Links to other folders are not followed, and files that link out of the
    folder are none of it, so that nothing else is read whatever a name in an
    annotation file says. Hidden files are left out.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.realpath(root))
        self.links_out: list[str] = []
        self.files = sorted(self._walk())
        self.pictures = [
            file
            for file in self.files
            if PurePosixPath(file).suffix.lower() in PICTURES
        ]
        self._by_name: dict[str, list[str]] = defaultdict(list)
        for file in self.pictures:
            for name in {_key(_name(file)), _key(PurePosixPath(file).stem)}:
                self._by_name[name].append(file)

    def _walk(self) -> Iterator[str]:
        for folder, folders, files in os.walk(self.root):
            folders[:] = [name for name in folders if not _is_hidden(name)]
            for name in (*files, *folders):
                path = Path(folder, name)
                file = path.relative_to(self.root).as_posix()
                if path.is_symlink() and not self._holds(path):
                    self.links_out.append(file)
                elif name in files and not _is_hidden(name):
                    if stat.S_ISREG(path.stat().st_mode):
                        yield file

    def _holds(self, path: Path) -> bool:
        real = Path(os.path.realpath(path))
        return real.exists() and real.is_relative_to(self.root)

    def path(self, file: str) -> Path:
        """Return the path of one of :attr:`files`, links resolved."""
        return Path(os.path.realpath(self.root / file))

    def ending(self, *suffixes: str) -> list[str]:
        """Return the files whose names end so."""
        return [file for file in self.files if file.lower().endswith(suffixes)]

    def find(self, name: str, near: str = '', split: str = '') -> Match | None:
        r"""Return the picture that a name means, None where none or several.

        Backslashes, URL escapes, other Unicode forms, other cases, a missing
        ending and folders that were elsewhere are seen through.

        Args:
            name: As a tool wrote it, such as ``images\my%20photo.jpg``.
            near: Folder of the file that says so; a nearer picture is meant.
            split: A picture in a folder of this part is meant.
        """
        for form in dict.fromkeys((name, unquote(name))):
            parts = [part for part in re.split(r'[/\\]|\?d=', form) if part]
            found = parts and self._by_name.get(_key(parts[-1]), [])
            if found:
                ranks = [_rank(file, parts, near, split) for file in found]
                best = max(ranks)
                if ranks.count(best) > 1:
                    return None
                file = found[ranks.index(best)]
                end = name.removeprefix('./')
                return Match(file, f'/{file}'.endswith(f'/{end}'))
        return None


def split_of(path: str) -> str:
    """Return the part of the data that a path names, '' where none.

    The last name counts: ``train`` for ``valid/instances_train2017.json``.
    Where each picture has a file, give the file's folder: a picture of a
    train is named so, in whatever part it is.
    """
    for part in reversed(PurePosixPath(path).parts):
        for word in re.split('[^a-z]+', part.lower()):
            if word in SPLITS:
                return SPLITS[word]
    return ''


def _rank(file: str, parts: list[str], near: str, split: str) -> tuple:
    """Say how well a file fits a name; larger is better."""
    own = PurePosixPath(file).parts
    end = 0
    for mine, theirs in zip(own[-2::-1], parts[-2::-1], strict=False):
        if _key(mine) != _key(theirs):
            break
        end += 1
    start = 0
    for mine, theirs in zip(own[:-1], PurePosixPath(near).parts, strict=False):
        if mine != theirs:
            break
        start += 1
    is_split = bool(split) and split_of(str(PurePosixPath(file).parent))
    return end, start, is_split == split, own[-1] == parts[-1]


@cache
def _key(name: str) -> str:
    return unicodedata.normalize('NFC', name).casefold()


def _name(file: str) -> str:
    return file.rpartition('/')[2]


def _is_hidden(name: str) -> bool:
    return name.startswith('.') or name == '__MACOSX'
