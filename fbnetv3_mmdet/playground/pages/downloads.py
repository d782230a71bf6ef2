"""Files of a run to take away: by the run's name and a kind, by no path."""

from __future__ import annotations

from fastapi import FastAPI, HTTPException
from fastapi.responses import FileResponse

from ..app import Playground
from ..exports import FILES, file_of


def add(web: FastAPI, playground: Playground) -> None:
    """Add the address."""

    @web.get('/files/{name}/{kind}')
    def file(name: str, kind: str) -> FileResponse:
        run = playground.runs().get(name)
        if run is None or kind not in FILES:
            raise HTTPException(404)
        path = file_of(run, kind)
        if not path.is_file():
            raise HTTPException(404)
        return FileResponse(path, filename=f'{name}-{FILES[kind]}')
