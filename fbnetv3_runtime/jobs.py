"""Images one after the other, or side by side, and what becomes of them."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from .drawing import draw
from .images import Photo, Picture, read_image
from .parallel import ahead
from .results import Result
from .stopping import Stopped, stoppable
from .video import FramesLost, Video
from .writers import (
    Finding,
    Write,
    list_detections,
    open_writers,
    save_picture,
)


class _Detector(Protocol):
    workers: int

    def read(self, image: Picture) -> Photo: ...

    def predict(self, image: Photo) -> Result: ...


class _Job(NamedTuple):
    """An image to detect in.

    Attributes:
        entry: How JSON's entry begins.
        image: A path, or a frame of a video.
        name: The picture's path in the output folder.
    """

    entry: dict
    image: Path | np.ndarray
    name: str


def run(
    args: argparse.Namespace, files: dict[Path, str], detector: _Detector
) -> int:
    """Detect, and write what the options ask for.

    Args:
        args: The values of ``command.add_options``.
        files: The images, from ``plan.plan``.
        detector: What has the methods of :class:`Detector`.

    Returns:
        int: The number of images that were read.

    Raises:
        ValueError: Images could not be read, or pictures not be written; the
            others are done.
        SystemExit: A signal ended it before the last image.
    """
    video = None
    jobs: Iterable[_Job] = (
        _Job({'file': str(file)}, file, name) for file, name in files.items()
    )
    if args.video:
        number = args.video.isdecimal()
        video = Video(int(args.video) if number else args.video)
        jobs = _list_frames(args.video, video)
    count = _Count()
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # decoders' remarks
        work = partial(_examine, detector, args)
        findings = (
            (work(job) for job in jobs)  # each frame's at once
            if video and video.is_live
            else ahead(work, jobs, detector.workers)
        )
        with closing(findings), open_writers(args, video and video.fps) as put:
            _write(findings, put, count)
    if count.stopped and not video:
        say(f'error: {count.stopped} after {count.done} of {len(files)}')
        raise SystemExit(128 + count.stopped.number)
    _check(count, len(files))
    return count.done


@dataclass
class _Count:
    """What became of the images.

    Attributes:
        done: How many were detected in.
        unread: How many could not be read.
        lost: How many pictures could not be written.
        frames: A line about frames that could not be read.
        stopped: The signal that ended it.
    """

    done: int = 0
    unread: int = 0
    lost: int = 0
    frames: str | None = None
    stopped: Stopped | None = None


def _write(findings: Iterable[Finding], put: Write, count: _Count) -> None:
    """Write what was found until there is no more, or a signal comes."""
    counts = sys.stderr.isatty()
    try:
        with stoppable():
            for finding in findings:
                if finding.problem:
                    say(finding.problem)
                if finding.found is None:
                    count.unread += 1
                    continue
                count.done += 1
                count.lost += finding.problem is not None
                put(finding)
                if counts:
                    sys.stderr.write(f'\r{count.done} images ')
    except Stopped as stopped:
        count.stopped = stopped
    except KeyboardInterrupt:  # of whoever called this
        count.stopped = Stopped()
    except FramesLost as error:
        count.frames = str(error)
    say(f'{count.done} images')


def _check(count: _Count, total: int) -> None:
    """Say what is missing.

    Raises:
        ValueError: Something is.
    """
    failures = [count.frames] if count.frames else []
    if count.unread:
        failures += [f'{count.unread} of {total} images could not be read']
    if count.lost:
        failures += [
            f'{count.lost} of {count.done} pictures could not be written'
        ]
    if failures:
        raise ValueError(', '.join(failures))


def _list_frames(source: str, video: Video) -> Iterator[_Job]:
    for number, frame in video:
        name = f'{Path(source).stem}_{number:06d}.jpg'
        yield _Job({'file': source, 'frame': number}, frame, name)


def _examine(
    detector: _Detector, args: argparse.Namespace, job: _Job
) -> Finding:
    """Detect in an image, and save its picture."""
    try:
        photo = detector.read(job.image)
    except ValueError as error:
        return Finding(job.entry, problem=str(error))
    found = detector.predict(photo)
    width, height = photo.size
    entry = {**job.entry, 'width': width, 'height': height}
    drawn = problem = None
    if args.out_dir or args.out_video:
        whole = photo.picture
        if whole.size != photo.size:  # it was read small
            whole = read_image(job.image)
        drawn = draw(whole, found)
    if args.out_dir:
        problem = save_picture(Path(args.out_dir, job.name), drawn)
        if not problem:
            entry['picture'] = job.name
    if args.json or args.jsonl:
        entry['detections'] = list_detections(found)
    return Finding(entry, found, drawn if args.out_video else None, problem)


def say(line: str) -> None:
    """Write a line to stderr, upon the count of images."""
    start = '\r' if sys.stderr.isatty() else ''
    sys.stderr.write(f'{start}{line}\n')
