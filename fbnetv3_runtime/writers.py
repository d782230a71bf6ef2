"""What the command writes: pictures, a video, JSON, a table."""

from __future__ import annotations

import argparse
import errno
import json
import os
import stat
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image

from .results import Result
from .texts import name_of, one_line

CODECS = {'.avi': 'MJPG', '.mkv': 'mp4v', '.mp4': 'mp4v'}  # of OpenCV
DISK_ERRORS = errno.ENOSPC, errno.EDQUOT, errno.EROFS  # meet all files
MAX_JPEG_SIDE = 65_500  # px


class Finding(NamedTuple):
    """What is written of an image.

    Attributes:
        entry: What JSON says of it.
        found: What was found; None: the image could not be read.
        drawn: A picture of that, where one is wanted.
        problem: A line of what went wrong.
    """

    entry: dict
    found: Result | None = None
    drawn: Image.Image | None = None
    problem: str | None = None


Write = Callable[[Finding], None]


@contextmanager
def open_writers(
    args: argparse.Namespace, fps: float | None = None
) -> Iterator[Write]:
    """Yield what writes findings to where the command line says.

    What cannot be written to is known before. Files appear complete, but for
    JSON Lines, which others may read meanwhile.

    Args:
        args: The values of ``command.add_options``.
        fps: Frames a second of a video.
    """
    writes: list[Write] = []
    with ExitStack() as stack:
        if args.out_dir:
            Path(args.out_dir).mkdir(parents=True, exist_ok=True)
        if args.json:
            writes.append(stack.enter_context(_json_array(Path(args.json))))
        if args.jsonl:
            writes.append(stack.enter_context(_json_lines(Path(args.jsonl))))
        if args.out_video:
            path = Path(args.out_video)
            writes.append(stack.enter_context(_video_file(path, fps)))
        if not writes and not args.out_dir:
            writes.append(_print_table)

        def write(finding: Finding) -> None:
            for one in writes:
                one(finding)

        yield write


def save_picture(path: Path, picture: Image.Image) -> str | None:
    """Write a picture; return a line of why it is lost, if it is."""
    try:
        if max(picture.size) > MAX_JPEG_SIDE:
            raise ValueError(f'JPEG has at most {MAX_JPEG_SIDE} pixels a side')
        with complete_file(path) as file:
            picture.save(file, 'JPEG', quality=90)
    except (OSError, ValueError) as error:
        if getattr(error, 'errno', None) in DISK_ERRORS:
            raise
        return f'{name_of(path)} cannot be written: {one_line(error)}'
    return None


def list_detections(found: Result) -> list[dict]:
    """Return detections as JSON has them."""
    parts = found.boxes, found.scores, found.labels
    rows = zip(*(part.tolist() for part in parts), found.names, strict=True)
    keys = 'box', 'score', 'label', 'class'
    entries = [dict(zip(keys, row, strict=True)) for row in rows]
    if found.masks is not None:
        for entry, mask in zip(entries, found.masks, strict=True):
            entry['mask'] = mask.rle()
    return entries


@contextmanager
def complete_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a file that appears at ``path`` when it is complete.

    What is there already and no file, such as a pipe, is written to.
    """
    if not _is_file(path):
        with open(path, 'wb') as file:
            yield file
        return
    with _complete_path(path) as partial, open(partial, 'wb') as file:
        yield file


def resolve(path: str | Path) -> Path:
    """Return the path that links lead to."""
    return Path(os.path.realpath(path))  # Path's own fails at loops


@contextmanager
def _complete_path(path: Path) -> Iterator[Path]:
    """Yield where to write a file that appears when it is complete."""
    path = resolve(path)  # links stay
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'.partial-{uuid.uuid4().hex}{path.suffix}')
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _is_file(path: Path) -> bool:
    """Whether a path is a file's, or would be."""
    with suppress(FileNotFoundError):
        return stat.S_ISREG(path.stat().st_mode)
    return True


@contextmanager
def _json_array(path: Path) -> Iterator[Write]:
    entries: list[dict] = []
    with complete_file(path) as file:
        yield lambda finding: entries.append(finding.entry)
        file.write(json.dumps(entries).encode())


@contextmanager
def _json_lines(path: Path) -> Iterator[Write]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, 'wb', buffering=0) as file:
        yield lambda finding: file.write(
            f'{json.dumps(finding.entry)}\n'.encode()
        )


@contextmanager
def _video_file(path: Path, fps: float | None) -> Iterator[Write]:
    import cv2

    codec = cv2.VideoWriter_fourcc(*CODECS[path.suffix.lower()])
    with _complete_path(path) as partial:
        partial.touch()  # tells of a folder that cannot be written to
        video = cv2.VideoWriter()

        def write(finding: Finding) -> None:
            picture = finding.drawn
            if not video.isOpened():
                video.open(str(partial), codec, fps, picture.size)
            if not video.isOpened():
                raise ValueError(
                    f'{name_of(path)} cannot be written: OpenCV has no '
                    f'{CODECS[path.suffix.lower()]} here; choose another of '
                    f'{[*CODECS]}'
                )
            video.write(np.asarray(picture)[..., ::-1])  # BGR

        try:
            yield write
        finally:
            video.release()


def _print_table(finding: Finding) -> None:
    found = finding.found
    for box, score, name in zip(*found[:2], found.names, strict=True):
        texts = name_of(finding.entry['file']), name_of(name), f'{score:.2f}'
        print(*texts, *np.round(box, 1), sep='\t')
