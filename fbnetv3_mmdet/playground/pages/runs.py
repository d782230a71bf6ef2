"""Runs: all of them, the newest first."""

from __future__ import annotations

from nicegui import ui

from ..app import Playground
from .parts import frame, heading, note, words


def add(playground: Playground) -> None:
    """Add the page."""

    @ui.page('/runs')
    def page() -> None:
        with frame('Runs'):
            table = ui.element('div').classes('scroll')

            def fill() -> None:
                table.clear()
                with table:
                    _rows(playground)

            fill()
            ui.timer(3, fill)
            if searches := playground.searches():
                heading('Searches by hand')
                with ui.element('ul'):
                    for name in searches:
                        with ui.element('li'):
                            ui.link(name, f'/searched/{name}')


def _rows(playground: Playground) -> None:
    found = playground.runs()
    if not found:
        note('No runs yet.')
        ui.link('Make one', '/new')
        return
    with ui.element('table').classes('plain'):
        with ui.element('tr'):
            for title in ('run', 'state', 'iterations', 'AP', 'data'):
                words('th', title).props('scope=col')
        for name, run in found.items():
            training, evaluations = playground.log(run)
            done = training[-1]['step'] if training else 0
            best = max(
                (e.get('coco/bbox_mAP', 0) for e in evaluations), default=None
            )
            state = run.state()
            with ui.element('tr'):
                with ui.element('td'):
                    ui.link(name, f'/run/{name}')
                for text in (
                    state.name,
                    f'{done} of {run.max_iters() or "?"}',
                    '–' if best is None else f'{best:.3f}',
                    run.values().get('data', 'by hand'),
                ):
                    words('td', text)
