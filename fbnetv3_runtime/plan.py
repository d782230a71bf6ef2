"""What the command reads and writes, checked before it begins."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from pathlib import Path

from .images import SUFFIXES
from .texts import name_of
from .writers import CODECS, resolve


def plan(args: argparse.Namespace, sources: Iterable[str]) -> dict[Path, str]:
    """Return for each image its picture's path in the output folder.

    That is its path in the folder that was given, numbered from the second
    of one path on.

    Args:
        args: The values of ``command.add_options``.
        sources: Other files that are read, and must not be written to.

    Raises:
        ValueError: There are no images, or an output would replace what is
            to be read.
    """
    if bool(args.images) == bool(args.video):
        raise ValueError('give either IMAGES or --video')
    _check_video_options(args)
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
    targets = _choose_targets(names.values())
    sources = [*sources, *names]
    if args.video:
        sources.append(args.video)
    _check_outputs(args, sources, targets)
    return dict(zip(names, targets, strict=True))


def _check_video_options(args: argparse.Namespace) -> None:
    if args.out_video and not args.video:
        raise ValueError('--out-video is for --video; give --out-dir')
    if args.out_video and Path(args.out_video).suffix.lower() not in CODECS:
        raise ValueError(
            f'--out-video {name_of(args.out_video)} is no name of a video '
            f'that can be written; choose one that ends in {[*CODECS]}'
        )


def _choose_targets(names: Iterable[Path]) -> list[str]:
    targets: dict[str, str] = {}
    for name in names:
        stem = name.with_suffix('').as_posix()
        target, number = f'{stem}.jpg', 1
        while target.lower() in targets:  # of a file system without case
            number += 1
            target = f'{stem}_{number}.jpg'
        targets[target.lower()] = target
    return [*targets.values()]


def _check_outputs(
    args: argparse.Namespace,
    sources: Iterable[str | Path],
    targets: Iterable[str],
) -> None:
    """Refuse to write upon what is read, or where it would be found."""
    outputs = []
    taken = {resolve(path) for path in sources}
    if args.out_dir:
        folder = Path(args.out_dir)
        outputs += [folder / target for target in targets]
        around = {resolve(folder), *resolve(folder).parents}
        if not around.isdisjoint(resolve(path) for path in args.images):
            raise ValueError(
                f'--out-dir {folder} lies in a folder whose images are to be '
                'read; choose one elsewhere'
            )
        taken |= around
    more = args.json, args.jsonl, args.out_video
    outputs += [Path(path) for path in more if path]
    for output in outputs:
        place = resolve(output)
        if os.path.isdir(output) or place in taken:
            raise ValueError(
                f'{name_of(output)} is a folder, or what else is to be read '
                'or written; write to another'
            )
        taken.add(place)
