"""The pages, made by NiceGUI in the server's process."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.responses import RedirectResponse

from ..app import Playground
from . import compare, data, downloads, new_run, run, runs, search


def add_pages(web: FastAPI, playground: Playground) -> None:
    """Add all pages to a web application."""

    @web.get('/')
    def home() -> RedirectResponse:
        return RedirectResponse('/new', status_code=303)

    for page in (new_run, runs, run, search, compare, data):
        page.add(playground)
    downloads.add(web, playground)
