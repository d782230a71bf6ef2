"""Finds the checkpoint from which a run that ended goes on."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from mmengine.logging import print_log

from ...checkpoints import check_checkpoint

NOTE = 'last_checkpoint'  # the file in a work dir that names the newest one


def has_checkpoint(work_dir: Path) -> bool:
    """Whether a training has saved anything, by MMEngine's names."""
    names = (NOTE, 'iter_*.pth', 'epoch_*.pth')
    return any(path for name in names for path in work_dir.glob(name))


def find_newest(work_dir: Path, folder: Path, pattern: str) -> str | None:
    """Return the path of the newest checkpoint that is whole.

    Damaged ones are logged, each with what is wrong with it.

    Args:
        work_dir (Path): Its ``last_checkpoint`` names the newest.
        folder (Path): Holds the checkpoints.
        pattern (str): What their names match, such as ``iter_*.pth``.

    Returns:
        str: None where there is no checkpoint at all.

    Raises:
        ValueError: There are checkpoints, and all are damaged.
    """
    found = list(dict.fromkeys(_newest_first(work_dir, folder, pattern)))
    for path in found:
        try:
            check_checkpoint(str(path))
        except (ValueError, OSError) as error:
            print_log(
                f'{path} is passed over: {error}',
                logger='current',
                level=logging.WARNING,
            )
        else:
            return str(path)
    if found:
        raise ValueError(
            f'resume=True: none of the {len(found)} checkpoints in '
            f'{str(folder)!r} is whole, {found[0].name} the newest; give '
            'one from elsewhere as load_from, or start anew without resuming'
        )
    return None


def _newest_first(
    work_dir: Path, folder: Path, pattern: str
) -> Iterator[Path]:
    note = work_dir / NOTE
    named = note.read_text(errors='replace').strip() if note.is_file() else ''
    if named:
        # the work dir may have been copied or moved since
        here = folder / Path(named).name
        yield here if here.exists() else Path(named)
    written = [path for path in folder.glob(pattern) if path.is_file()]
    yield from sorted(written, key=_age, reverse=True)


def _age(path: Path) -> tuple[int, int, str]:
    """Return what orders checkpoints by time; copies may share theirs."""
    return path.stat().st_mtime_ns, len(path.name), path.name
