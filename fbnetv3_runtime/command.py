"""Detect objects in images or a video with an exported file.

It writes pictures of what it finds (--out-dir), a video (--out-video), and
JSON (--json), else a table. JSON is a list with an entry an image, of
``file``, ``picture`` (its path in the output folder), ``frame`` (of a video,
from 1), ``width``, ``height`` and ``detections``, best first: ``box`` ([x1,
y1, x2, y2] in pixels), ``score``, ``label``, ``class`` and, from a model that
has them, ``mask`` (COCO's compressed RLE). JSON Lines (--jsonl) have the same
entries, each written as it is found. Where images or frames could not be
read, or pictures written, the others are done, and the status is 2. SIGTERM
and Ctrl-C end it with what there is so far; a video, with status 0.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from .backends import BACKENDS
from .detector import Detector
from .engine import check_number, count_cores
from .jobs import run, say
from .plan import plan
from .texts import one_line

SCORE_THR = 0.3


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = _parse(argv)
    try:
        check_number('threads', args.threads)
        files = plan(args, [args.model])
        # most images a second: each has a thread of its own
        detector = load_file(
            args.model,
            args.backend,
            args.score_thr,
            threads=1,
            parallel=args.threads or count_cores(),
            device=args.device,
        )
        run(args, files, detector)
    except (ImportError, MemoryError, OSError, ValueError) as error:
        say(f'error: {one_line(error)}')
        raise SystemExit(2) from None


def load_file(
    model: str, backend: str | None, score_thr: float | None, **settings
) -> Detector:
    """Return the detector of a file; without a ``score_thr``, of 0.3.

    Args:
        model: As for :class:`Detector`, as are the others.
        backend: See there.
        score_thr: See there.
        **settings: See there.
    """
    detector = Detector(model, backend, score_thr=score_thr, **settings)
    if score_thr is None:
        detector.score_thr = max(SCORE_THR, detector.metadata['score_thr'])
    return detector


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
    add(
        '--threads',
        type=int,
        help='threads of the CPU, each for an image (default: all)',
    )
    add('--device', default='cpu', help='such as cuda (default: cpu)')
    return parser.parse_intermixed_args(argv)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare what :func:`plan` and :func:`run` read."""
    add = parser.add_argument
    add('images', nargs='*', help='image files, or folders to search')
    add('--video', metavar='SRC', help='video, or number of a camera')
    add('--out-dir', metavar='DIR', help='write pictures to this folder')
    add('--out-video', metavar='FILE', help='write a video to this file')
    add('--json', metavar='FILE', help='write what was found to this file')
    add(
        '--jsonl',
        metavar='FILE',
        help='the same, a line an image, as it is found',
    )
    add(
        '--score-thr',
        type=float,
        metavar='SCORE',
        help=f'leave out what has a lower score (default: {SCORE_THR}, or '
        "an exported file's own, if higher)",
    )
