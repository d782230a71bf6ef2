"""Searches that start from a run's config, each in a folder of its run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..files import complete_file
from ..search.names import BEST, CANDIDATES, TRIALS
from . import jobs
from .runs import CONFIG, Run, create_run, slug, start

CONFIG_OF_SEARCH, WORK = 'search_run.py', 'work'


class Search(NamedTuple):
    """A search that was begun.

    Attributes:
        folder: Of its job; of one by hand its work dir.
        work_dir: Of its results.
    """

    folder: Path
    work_dir: Path

    @property
    def exists(self) -> bool:
        """Whether it has asked for a first trial: its options fitted."""
        return (self.work_dir / TRIALS).is_file()

    @property
    def best(self) -> Path:
        """Config of its best candidate; written at the end."""
        return self.work_dir / BEST

    def candidates(self) -> list[dict[str, Any]]:
        """Return what is known of the candidates trained to their end."""
        return _read(self.work_dir / CANDIDATES)


def search_of(run: Run) -> Search:
    """Return the search of a run, begun or not."""
    folder = run.folder / 'search'
    return Search(folder, folder / WORK)


def find_searches(watched: Sequence[Path]) -> dict[str, Search]:
    """Return the searches by hand in some folders, by name."""
    return {
        f'by-hand-{slug(path.parent.relative_to(folder.parent))}': Search(
            path.parent, path.parent
        )
        for folder in watched
        for pattern in ('', '*/', '*/*/')
        for path in folder.glob(f'{pattern}{CANDIDATES}')
    }


def train(
    root: Path, run: Run | None, search: Search, candidate: Mapping[str, Any]
) -> Run:
    """Begin to train a candidate of a search, as a run of its own.

    Args:
        root: Folder of the runs made here.
        run: From which the search started; None: it was made by hand.
        search: Of the candidate.
        candidate: One of it.

    Raises:
        ValueError: It is trained as a run already.
    """
    config = (search.work_dir / candidate['config']).resolve()
    # what the candidate changes, the form has no fields for
    settings = {**(run.values() if run else {}), 'values': {}}
    name = run.name if run else slug(Path(search.work_dir.name))
    text = f'_base_ = {str(config)!r}\n'
    made = create_run(
        root, f'{name[:58]}-t{candidate["number"]:03d}', settings, text
    )
    start(made)
    return made


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return []  # none has been trained to its end


def begin(
    run: Run,
    trials: int = 0,
    hours: float = 0,
    latency: int | None = None,
) -> Search:
    """Begin a search with the run's config as its baseline, or go on.

    What is wrong with the numbers, the search's output says.

    Args:
        run: Made here.
        trials: Candidates to train, where the search is new, as the others.
        hours: After which no further ones are begun.
        latency: Highest, in per cent of the baseline's; None: no limit.

    Raises:
        ValueError: The run was started by hand, and may have no config that
            can be inherited.
    """
    if run.by_hand:
        raise ValueError(
            f'run {run.name!r} was started by hand; search with '
            'python -m fbnetv3_mmdet search'
        )
    search = search_of(run)
    search.folder.mkdir(exist_ok=True, mode=0o700)
    config = search.folder / CONFIG_OF_SEARCH
    if not search.exists:
        options: dict = dict(trials=trials, hours=hours)
        if latency is not None:
            options['limit'] = dict(latency=f'{latency}%')
        base = str(Path('..', CONFIG))
        with complete_file(config) as part:
            part.write_text(f'_base_ = {base!r}\nsearch = {options!r}\n')
    work = str(search.work_dir)
    command = ('search', str(config), '--work-dir', work)
    jobs.start(search.folder, command, run.queue)
    return search
