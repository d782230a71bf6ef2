"""The draft of a run: what the form said last, kept in the browser."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from nicegui import ui

KEY = 'playground-draft'


async def read() -> dict[str, Any]:
    """Return data, masks and values as :func:`write` took them, or {}."""
    with suppress(ValueError, TimeoutError):  # of another's making, or none
        text = await ui.run_javascript(
            f'return localStorage.getItem({KEY!r})', timeout=5
        )
        draft = json.loads(text or '{}')
        if isinstance(draft, dict) and isinstance(draft.get('values'), dict):
            return draft
    return {}


def write(draft: Mapping[str, Any]) -> None:
    """Keep a draft in this browser."""
    text = json.dumps(json.dumps(draft))
    ui.run_javascript(f'localStorage.setItem({KEY!r}, {text})')
