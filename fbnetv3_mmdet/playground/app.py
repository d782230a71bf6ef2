"""The page's server: what it knows, and how it starts."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from .client import Engine
from .following import Log
from .forms import Data, find_data
from .runs import Run, find_runs
from .searches import Search, find_searches


class Playground(NamedTuple):
    """What the pages are about.

    Attributes:
        folders: Where data sets are, from the command line.
        root: Folder of the runs made here.
        watched: Folders in which runs by hand are looked for.
        engine: With PyTorch.
        logs: Of the runs that were looked at, by work dir.
    """

    folders: tuple[Path, ...]
    root: Path
    watched: tuple[Path, ...]
    engine: Engine
    logs: dict[Path, Log]

    @property
    def imported(self) -> Path:
        """Folder of the data sets imported here."""
        return self.root / 'data'

    def data(self) -> dict[str, Data]:
        """Return the data sets by name."""
        own = [self.imported] if self.imported.is_dir() else []
        return find_data([*self.folders, *own])

    def runs(self) -> dict[str, Run]:
        """Return the runs by name, the newest first."""
        return find_runs(self.root, self.watched)

    def searches(self) -> dict[str, Search]:
        """Return the searches by hand by name."""
        return find_searches(self.watched)

    def log(self, run: Run) -> tuple[list[dict], list[dict]]:
        """Return what a run logged: training and evaluations."""
        log = self.logs.setdefault(run.work_dir, Log(run.work_dir))
        return log.read()


def serve(
    folders: Sequence[Path],
    root: Path,
    watched: Sequence[Path] = (),
    port: int = 0,
) -> None:
    """Serve the pages on this machine until Ctrl-C.

    Args:
        folders: Where data sets are.
        root: Folder of the runs; it is made, for this user alone.
        watched: Folders in which runs by hand are looked for.
        port: 0: a free one.

    Raises:
        ValueError: A folder is missing, the port is taken, or NiceGUI is not
            installed.
    """
    for folder in (*folders, *watched):
        if not folder.is_dir():
            raise ValueError(
                f'{str(folder)!r} is not a folder; give one that exists'
            )
    try:
        import uvicorn
        from fastapi import FastAPI
        from nicegui import ui
    except ImportError as error:
        raise ValueError(
            f'the playground needs {error.name}: '
            'pip install "mmdet-fbnetv3[playground]"'
        ) from error
    from .guard import Guard
    from .pages import add_pages

    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    listening = _listen(port)
    port = listening.getsockname()[1]
    key = secrets.token_urlsafe(32)
    playground = Playground(
        tuple(folders), root.resolve(), tuple(watched), Engine(), {}
    )
    web = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    add_pages(web, playground)
    ui.run_with(web, title='Model Playground', dark=None)
    print(f'http://127.0.0.1:{port}/?key={key}', flush=True)
    if 'SSH_CONNECTION' in os.environ:
        print(f'from your own machine: ssh -L {port}:127.0.0.1:{port} HOST')
    config = uvicorn.Config(
        Guard(web, port, key), log_level='warning', timeout_graceful_shutdown=1
    )
    uvicorn.Server(config).run(sockets=[listening])


def _listen(port: int) -> socket.socket:
    """Return a socket that only this machine reaches."""
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(('127.0.0.1', port))
        listening.listen()  # who has the address need not wait
    except OSError as error:
        raise ValueError(
            f'--port {port} cannot be used ({error.strerror}); leave it out '
            'for a free one'
        ) from error
    return listening
