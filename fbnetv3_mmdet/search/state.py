"""The state of a search: one file of lines that is only ever added to.

The first line says what is searched. Then come batches of requests, measured
costs and results. What is to be done next follows from them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from .names import TRIALS
from .records import Request, Trial

Event = dict[str, Any]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Have a search's folder to oneself.

    Raises:
        ValueError: Another process has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / '.lock', timeout=0):
            yield
    except Timeout:
        raise ValueError(
            f'work_dir={str(folder)!r} is in use by another search; wait for '
            'its end, or give another --work-dir'
        ) from None


class State:
    """What a search has asked for and found.

    Args:
        folder: Of the search.
        identity: What is searched, plain JSON: a folder's first search says
            it, and later ones must agree.

    Raises:
        ValueError: Another search is in the folder, or the file is broken.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self._path = folder / TRIALS
        self.events = _read(self._path)
        if not self.events:
            self.add('search', **identity)
        _check_identity(self._path, self.events[0], identity)

    def add(self, event: str, **values: Any) -> None:
        """Put an event onto the disk."""
        line = json.dumps(dict(event=event, **values))
        with open(self._path, 'a') as file:
            file.write(line + '\n')
            file.flush()
            os.fsync(file.fileno())
        self.events.append(json.loads(line))

    def of(self, event: str) -> list[Event]:
        """Return the events of a kind, the oldest first."""
        return [e for e in self.events if e['event'] == event]

    def waiting(self) -> list[Request]:
        """Return the requests of the last batch that have no result."""
        batches = self.of('batch')
        done = {(e['number'], e['iterations']) for e in self.of('result')}
        return [
            request
            for request in map(_request, batches[-1]['requests'])
            if (request.number, request.iterations) not in done
        ] if batches else []  # fmt: skip

    def costs(self, number: int) -> dict[str, float] | None:
        """Return what a trial's candidate costs, None if not yet measured."""
        found = [e['costs'] for e in self.of('costs') if e['number'] == number]
        return found[-1] if found else None

    def trials(self) -> list[Trial]:
        """Return the trials that have a result, in the order of numbers."""
        asked = {
            request.number: request
            for batch in self.of('batch')
            for request in map(_request, batch['requests'])
        }
        found: dict[int, Trial] = {}
        for event in self.of('result'):
            number = event['number']
            request, before = asked[number], found.get(number)
            scores = {int(at): ap for at, ap in event['scores'].items()}
            found[number] = Trial(
                number,
                request.candidate,
                request.seed,
                {**(before.scores if before else {}), **scores},
                self.costs(number) or {},
                event['status'],
            )
        return [found[number] for number in sorted(found)]


def _request(values: list) -> Request:
    number, candidate, *rest = values
    return Request(number, _as_tuple(candidate), *rest)


def _as_tuple(value: Any) -> Any:
    """Return lists, which JSON makes of tuples, as tuples again."""
    return tuple(map(_as_tuple, value)) if isinstance(value, list) else value


def _read(path: Path) -> list[Event]:
    """Return the events of a file, and cut off what was not written whole."""
    if not path.exists():
        return []
    content = path.read_bytes()
    whole = content[: content.rfind(b'\n') + 1]
    if len(whole) < len(content):  # the machine stopped in a line
        os.truncate(path, len(whole))
    events = []
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            event = json.loads(line)
            event['event']
        except (ValueError, TypeError, KeyError):
            raise ValueError(
                f'{path}, line {number}, is no event of a search; restore '
                'the file, or begin anew with another --work-dir'
            ) from None
        events.append(event)
    return events


def _check_identity(
    path: Path, first: Event, identity: Mapping[str, Any]
) -> None:
    mine = json.loads(json.dumps(dict(identity)))
    theirs = {key: first[key] for key in first if key != 'event'}
    differing = [
        key for key in {**theirs, **mine} if theirs.get(key) != mine.get(key)
    ]
    if differing:
        key = differing[0]
        raise ValueError(
            f'{str(path.parent)!r} holds another search, with '
            f'{key}={_short(theirs.get(key))} and not '
            f'{_short(mine.get(key))}; give another --work-dir, or the '
            'config of that search'
        )


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) < 200 else f'{text[:200]}…'
