"""Runs: folders with settings, config, log, checkpoints and exports."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..files import complete_file
from . import jobs

NAME = re.compile(r'[a-z0-9][a-z0-9-]{0,63}')
SETTINGS, CONFIG, WORK = 'run.json', 'config.py', 'work'
QUEUE = '.queue'
RECENT = 60  # seconds since its last record, of a run by hand that goes on


class Run(NamedTuple):
    """A training, made here or by hand.

    Attributes:
        name: Unique on the page.
        folder: Of its files here; of a run by hand its work dir.
        work_dir: Of MMEngine's runner.
        by_hand: Whether it was started on the command line.
    """

    name: str
    folder: Path
    work_dir: Path
    by_hand: bool = False

    @property
    def config(self) -> Path | None:
        """The config to continue with; None where there is none yet."""
        if not self.by_hand:
            return self.folder / CONFIG
        return next(iter(sorted(self.work_dir.glob('*.py'))), None)

    @property
    def queue(self) -> Path:
        """Folder of the turns of what trains, one at a time."""
        return self.folder.parent / QUEUE

    def values(self) -> dict[str, Any]:
        """Return the form's values and its data; empty of a run by hand."""
        try:
            return json.loads((self.folder / SETTINGS).read_text())
        except (OSError, ValueError):
            return {}

    def max_iters(self) -> int | None:
        """Return how long the training is, where its config tells."""
        for path in self.work_dir.glob('*.py'):  # as MMEngine wrote it
            found = re.search(r'\bmax_iters=(\d+)', path.read_text())
            if found:
                return int(found[1])
        iterations = self.values().get('values', {}).get('iterations')
        return iterations if type(iterations) is int else None

    def checkpoint(self) -> Path | None:
        """Return the last checkpoint, also where the folder was moved."""
        try:
            saved = Path((self.work_dir / 'last_checkpoint').read_text())
        except OSError:
            return None
        own = self.work_dir / saved.name
        return own if own.is_file() else None

    def _is_complete(self) -> bool:
        """Whether the last checkpoint is that of the last iteration."""
        saved, whole = self.checkpoint(), self.max_iters()
        return bool(saved and whole and saved.stem == f'iter_{whole}')

    def state(self) -> jobs.State:
        """Return what the run does.

        Where its supervisor was killed, nobody wrote down how it ended: the
        checkpoint of the last iteration tells.
        """
        if not self.by_hand:
            state = jobs.state(self.folder)
            ended = state.name == 'interrupted' and self._is_complete()
            return jobs.State('finished') if ended else state
        logs = self.work_dir.glob('*/vis_data/scalars.json')
        last = max((log.stat().st_mtime for log in logs), default=0.0)
        name = 'running' if time.time() - last < RECENT else 'stopped'
        return jobs.State(name, 'started by hand')


def find_runs(root: Path, watched: Sequence[Path] = ()) -> dict[str, Run]:
    """Return all runs by name, the newest first.

    Args:
        root: Folder of the runs made here.
        watched: Folders in which runs by hand are looked for: work dirs, or
            folders of them.
    """
    found = [
        (path.stat().st_mtime, Run(path.parent.name, path.parent, work))
        for path in root.glob(f'*/{SETTINGS}')
        if NAME.fullmatch(path.parent.name)
        for work in [path.parent / WORK]
    ]
    for folder in watched:
        works = {
            log.parents[2]
            for pattern in ('', '*/', '*/*/')
            for log in folder.glob(f'{pattern}*/vis_data/scalars.json')
        }
        for work in works:
            if root not in work.parents:
                name = f'by-hand-{slug(work.relative_to(folder.parent))}'
                run = Run(name, work, work, by_hand=True)
                found.append((work.stat().st_mtime, run))
    found.sort(key=lambda pair: pair[0], reverse=True)
    return {run.name: run for _, run in found}


def create_run(
    root: Path, name: str, settings: Mapping[str, Any], config: str
) -> Run:
    """Make the folder of a run; it exists wholly or not at all.

    Args:
        root: Folder of the runs made here.
        name: Of the run.
        settings: The form's values and data, to show and to clone.
        config: Text of the config.

    Raises:
        ValueError: The name is taken, or cannot be one.
    """
    if not NAME.fullmatch(name):
        raise ValueError(
            f'name={name!r}: a run is named by 1 to 64 small letters, digits '
            'and hyphens, no hyphen first; choose another'
        )
    folder = root / name
    root.mkdir(parents=True, exist_ok=True)
    part = root / f'.{name}.part'
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(mode=0o700)
    try:
        for file, text in (
            (CONFIG, config),
            (SETTINGS, json.dumps(settings, indent=1)),
        ):
            with complete_file(part / file) as path:
                path.write_text(text)
        if folder.exists():
            raise FileExistsError
        os.rename(part, folder)
    except FileExistsError:
        raise ValueError(
            f'name={name!r} is taken; choose another, or resume that run'
        ) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return Run(name, folder, folder / WORK)


def start(run: Run) -> None:
    """Begin a run's training, or go on from its last checkpoint.

    Where another one of here trains or searches, it waits for its turn.
    """
    work = ('--work-dir', str(run.work_dir))
    command = ('train', str(run.config), *work, '--resume')
    jobs.start(run.folder, command, run.queue)


def slug(path: Path) -> str:
    """Return a path as letters, digits and hyphens."""
    return re.sub(r'[^a-z0-9]+', '-', str(path).lower()).strip('-')
