"""Detect objects in images or a video with an exported file.

It writes pictures of what it finds (--out-dir), and JSON (--json), else a
table: a list with an entry an image, of ``file``, ``picture`` (its path in
the output folder), ``frame`` (of a video, from 1), ``width``, ``height`` and
``detections``, best first: ``box`` ([x1, y1, x2, y2] in pixels), ``score``,
``label``, ``class`` and, from a model that has them, ``mask`` (COCO's
compressed RLE). Where images could not be read, or pictures written, the
others are done, and the status is 2.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import stat
import sys
import uuid
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
from PIL import Image

from . import Detector, Result
from .backends import BACKENDS
from .drawing import draw
from .images import SUFFIXES, Picture, read_image, read_video
from .masks import encode_mask
from .texts import name_of, one_line

DISK_ERRORS = errno.ENOSPC, errno.EDQUOT, errno.EROFS  # meet all files
MAX_JPEG_SIDE = 65_500  # px
SCORE_THR = 0.3


class _Detector(Protocol):
    def predict(self, image: Picture) -> Result: ...


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = _parse(argv)
    try:
        files = plan(args, [args.model])
        detector = load_file(
            args.model, args.backend, args.threads, args.score_thr
        )
        run(args, files, detector)
    except (ImportError, OSError, ValueError) as error:
        _say(f'error: {one_line(error)}')
        raise SystemExit(2) from None


def load_file(
    model: str,
    backend: str | None,
    threads: int | None,
    score_thr: float | None,
) -> Detector:
    """Return the detector of a file; without a ``score_thr``, of 0.3."""
    detector = Detector(model, backend, threads, score_thr)
    if score_thr is None:
        detector.score_thr = max(SCORE_THR, detector.metadata['score_thr'])
    return detector


def run(
    args: argparse.Namespace, files: dict[Path, str], detector: _Detector
) -> int:
    """Detect, and write what the options ask for.

    Args:
        args: The values of :func:`add_options`.
        files: The images, from :func:`plan`.
        detector: What has the ``predict`` of :class:`Detector`.

    Returns:
        int: The number of images that were read.

    Raises:
        ValueError: Images could not be read, or pictures not be written; the
            others are done.
    """
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # decoders' remarks
        warnings.simplefilter('error', Image.DecompressionBombWarning)
        done, lost = _write(args, _detect(detector, files, args.video))
    unread = 0 if args.video else len(files) - done
    failures = []
    if unread:
        failures = [f'{unread} of {len(files)} images could not be read']
    if lost:
        failures += [f'{lost} of {done} pictures could not be written']
    if failures:
        raise ValueError(', '.join(failures))
    return done


def plan(args: argparse.Namespace, sources: Iterable[str]) -> dict[Path, str]:
    """Return for each image its picture's path in the output folder.

    That is its path in the folder that was given, numbered from the second
    of one path on.

    Args:
        args: The values of :func:`add_options`.
        sources: Other files that are read, and must not be written to.

    Raises:
        ValueError: There are no images, or an output would replace what is
            to be read.
    """
    if bool(args.images) == bool(args.video):
        raise ValueError('give either IMAGES or --video')
    names: dict[Path, Path] = {}
    for path in map(Path, args.images):
        if path.is_dir():
            files = (
                f for f in path.rglob('*') if f.suffix.lower() in SUFFIXES
            )
            names |= {file: file.relative_to(path) for file in sorted(files)}
        else:
            names[path] = Path(path.name)
    if not names and args.images:
        raise ValueError(f'{args.images} have no files that end in {SUFFIXES}')
    targets: dict[str, str] = {}
    for name in names.values():
        stem = name.with_suffix('').as_posix()
        target, number = f'{stem}.jpg', 1
        while target.lower() in targets:  # of a file system without case
            number += 1
            target = f'{stem}_{number}.jpg'
        targets[target.lower()] = target
    _check_outputs(args, [*sources, *names], targets.values())
    return dict(zip(names, targets.values(), strict=True))


def _check_outputs(
    args: argparse.Namespace,
    sources: Iterable[str | Path],
    targets: Iterable[str],
) -> None:
    """Refuse to write upon what is read, or where it would be found."""
    outputs = []
    taken = {_resolve(path) for path in sources}
    if args.out_dir:
        folder = Path(args.out_dir)
        outputs += [folder / target for target in targets]
        around = {_resolve(folder), *_resolve(folder).parents}
        if not around.isdisjoint(_resolve(path) for path in args.images):
            raise ValueError(
                f'--out-dir {folder} lies in a folder whose images are to be '
                'read; choose one elsewhere'
            )
        taken |= around
    if args.json:
        outputs.append(Path(args.json))
    for output in outputs:
        place = _resolve(output)
        if os.path.isdir(output) or place in taken:
            raise ValueError(
                f'{name_of(output)} is a folder, or what else is to be read '
                'or written; write to another'
            )
        taken.add(place)


def _resolve(path: str | Path) -> Path:
    return Path(os.path.realpath(path))  # Path's own fails at loops


def _detect(
    detector: _Detector, files: dict[Path, str], video: str | None
) -> Iterator[tuple[dict, str, Image.Image, Result]]:
    """Yield a start of JSON, the picture's path, the image and the result."""
    if video:
        source = int(video) if video.isdecimal() else video
        for number, frame in enumerate(read_video(source), 1):
            entry = {'file': video, 'frame': number}
            name = f'{Path(video).stem}_{number:06d}.jpg'
            picture = Image.fromarray(frame)
            yield entry, name, picture, detector.predict(frame)
    for file, name in files.items():
        try:
            picture = read_image(file)
        except ValueError as error:
            _say(str(error))
        else:
            yield {'file': str(file)}, name, picture, detector.predict(picture)


def _write(
    args: argparse.Namespace,
    results: Iterable[tuple[dict, str, Image.Image, Result]],
) -> tuple[int, int]:
    """Write what was asked for; return numbers of results and lost pictures.

    What cannot be written to is known before the first image is read.
    """
    entries, number, lost = [], 0, 0
    if args.out_dir:
        Path(args.out_dir).mkdir(parents=True, exist_ok=True)
    output = _complete_file(Path(args.json)) if args.json else nullcontext()
    with output as file:
        try:
            for number, (entry, name, picture, found) in enumerate(results, 1):
                if args.out_dir:
                    if _save(Path(args.out_dir, name), picture, found):
                        entry['picture'] = name
                    else:
                        lost += 1
                if args.json:
                    size = {'width': picture.width, 'height': picture.height}
                    entries.append(entry | size | {'detections': _list(found)})
                if not args.out_dir and not args.json:
                    _print_table(entry['file'], found)
                elif sys.stderr.isatty():
                    sys.stderr.write(f'\r{number} images ')
        except KeyboardInterrupt:
            if not args.video:  # a camera ends so
                raise
        if file:
            file.write(json.dumps(entries).encode())
    if args.out_dir or args.json:
        _say(f'{number} images')
    return number, lost


def _save(path: Path, picture: Image.Image, found: Result) -> bool:
    """Write a picture of what was found, or say why it is lost."""
    try:
        if max(picture.size) > MAX_JPEG_SIDE:
            raise ValueError(f'JPEG has at most {MAX_JPEG_SIDE} pixels a side')
        with _complete_file(path) as file:
            draw(picture, found).save(file, 'JPEG', quality=90)
    except (OSError, ValueError) as error:
        if getattr(error, 'errno', None) in DISK_ERRORS:
            raise
        _say(f'{name_of(path)} cannot be written: {one_line(error)}')
        return False
    return True


def _print_table(file: str, found: Result) -> None:
    for box, score, name in zip(*found[:2], found.names, strict=True):
        texts = name_of(file), name_of(name), f'{score:.2f}'
        print(*texts, *np.round(box, 1), sep='\t')


def _list(found: Result) -> list[dict]:
    """Return detections as JSON has them."""
    parts = found.boxes, found.scores, found.labels
    rows = zip(*(part.tolist() for part in parts), found.names, strict=True)
    keys = 'box', 'score', 'label', 'class'
    entries = [dict(zip(keys, row, strict=True)) for row in rows]
    if found.masks is not None:
        for entry, mask in zip(entries, found.masks, strict=True):
            entry['mask'] = encode_mask(mask)
    return entries


@contextmanager
def _complete_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a file that appears at ``path`` when it is complete.

    What is there already and no file, such as a pipe, is written to.
    """
    is_file = True
    with suppress(FileNotFoundError):
        is_file = stat.S_ISREG(path.stat().st_mode)
    if not is_file:
        with open(path, 'wb') as file:
            yield file
        return
    path = _resolve(path)  # links stay
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'.partial-{uuid.uuid4().hex}')
    try:
        with open(partial, 'wb') as file:
            yield file
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _say(line: str) -> None:
    """Write a line to stderr, upon the count of images."""
    start = '\r' if sys.stderr.isatty() else ''
    sys.stderr.write(f'{start}{line}\n')


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='fbnetv3_runtime',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('model', help='file that tools/export.py wrote')
    add_options(parser)
    add = parser.add_argument
    add('--backend', help=f'one of {", ".join(BACKENDS)}')
    add('--threads', type=int, help='threads of the CPU')
    return parser.parse_intermixed_args(argv)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare what :func:`plan` and :func:`run` read."""
    add = parser.add_argument
    add('images', nargs='*', help='image files, or folders to search')
    add('--video', metavar='SRC', help='video file, or number of a camera')
    add('--out-dir', metavar='DIR', help='write pictures to this folder')
    add('--json', metavar='FILE', help='write what was found to this file')
    add(
        '--score-thr',
        type=float,
        metavar='SCORE',
        help=f'leave out what has a lower score (default: {SCORE_THR}, or '
        "an exported file's own, if higher)",
    )
