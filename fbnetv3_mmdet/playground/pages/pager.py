"""Pictures that are looked at by pages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from nicegui import ui

from .parts import note

PAGE = 24  # items


class Pager:
    """Buttons to turn pages, and the page.

    Args:
        ask: Returns how many items there are in all, and some of them, by the
            number of the first and how many; it may raise ValueError.
        show: Adds an item's elements.
        start: Label of the button that begins.
    """

    def __init__(
        self,
        ask: Callable[[int, int], Awaitable[tuple[int, Sequence[Any]]]],
        show: Callable[[Any], None],
        start: str,
    ) -> None:
        self._ask = ask
        self._show = show
        self._start = start
        self._first = 0

    def build(self) -> None:
        """Make the elements."""
        with ui.element('div').classes('buttons'):
            ui.button(self._start, on_click=lambda: self._turn(0)).props(
                'outline no-caps'
            )
            self._turns = ui.element('div').classes('buttons')
            with self._turns:
                for text, step in (('Back', -PAGE), ('On', PAGE)):
                    ui.button(
                        text,
                        on_click=lambda _, s=step: self._turn(self._first + s),
                    ).props('outline no-caps')
        self._count = note().props('role=status')
        self._items = ui.element('div').classes('pictures')
        self.clear()

    def clear(self) -> None:
        """Show nothing, until it is asked for again."""
        self._items.clear()
        self._count.text = ''
        self._turns.set_visibility(False)

    async def _turn(self, first: int) -> None:
        self._count.text = 'Reading …'
        first = max(0, first)
        try:
            total, items = await self._ask(first, PAGE)
        except ValueError as error:
            self._count.text = str(error)
            return
        self._turns.set_visibility(total > PAGE)
        if not items and total:  # this was the last page
            first, items = self._first, None
        self._first = first
        last = min(first + PAGE, total)
        self._count.text = f'{first + 1} to {last} of {total}'
        if not total:
            self._count.text = 'none'
        if items is not None:
            self._items.clear()
            with self._items:
                for item in items:
                    self._show(item)
