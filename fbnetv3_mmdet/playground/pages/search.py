"""Search: other architectures and recipes, from the settings of a run."""

from __future__ import annotations

from nicegui import ui

from .. import jobs, searches
from ..app import Playground
from ..runs import Run
from .front import Front
from .parts import frame, heading, note, words

POLL = 2.0  # seconds


def add(playground: Playground) -> None:
    """Add the page."""

    @ui.page('/search/{name}')
    def page(name: str) -> None:
        run = playground.runs().get(name)
        fits = run is not None and not run.by_hand
        with frame(f'Search from {name}' if fits else 'No such run'):
            if fits:
                View(playground, run).build()
            else:
                note('There is no run of this name that was made here.')
                ui.link('All runs', '/runs')

    @ui.page('/searched/{name}')
    def by_hand(name: str) -> None:
        search = playground.searches().get(name)
        with frame(f'Search {name}' if search else 'No such search'):
            if search is None:
                note('There is no search of this name.')
                ui.link('All runs', '/runs')
                return
            note('Made by hand. A click on a candidate tells what it changes.')
            front = Front(playground, search, None)
            front.build()
            ui.timer(POLL, front.show)


class View:
    """One visit to the page.

    Args:
        playground: What the pages are about.
        run: Whose config is the baseline.
    """

    def __init__(self, playground: Playground, run: Run) -> None:
        self._run = run
        self._search = searches.search_of(run)
        self._front = Front(playground, self._search, run)
        self._asked = False  # to stop, on this page

    def build(self) -> None:
        """Make the elements, and keep them up to date."""
        note(
            'It trains many candidates: other architectures and recipes, '
            f'with run {self._run.name} as the one to beat. It goes on '
            'without this page, and after a stop where it was.'
        )
        with ui.element('div').classes('fields') as self._fields:
            self._trials = ui.number('candidates', value=48, min=1, step=1)
            self._hours = ui.number('hours', value=8, min=0.1)
            self._latency = ui.number(
                "latency at most, % of the run's; empty: no limit", step=1
            )
        buttons = ui.element('div').classes('buttons')
        with buttons.style('margin: .75rem 0'):
            self._button = ui.button('', on_click=self._press)
            self._button.props('no-caps')
            ui.link('The run', f'/run/{self._run.name}')
        self._state = note().props('role=status')
        self._front.build()
        heading('Output')
        self._output = words('pre').classes('text')
        self._output.props('tabindex=0 aria-label="Output of the search"')
        self._best = note()
        self._poll()
        ui.timer(POLL, self._poll)

    def _press(self) -> None:
        """Do what the button says, unless the search has changed meanwhile."""
        runs = jobs.is_running(self._search.folder)
        if runs and self._stops:
            jobs.stop(self._search.folder)
            self._asked = True
        elif not runs and not self._stops:
            latency = self._latency.value
            searches.begin(
                self._run,
                int(self._trials.value or 0),
                float(self._hours.value or 0),
                None if latency is None else int(latency),
            )
        self._poll()

    def _poll(self) -> None:
        state = jobs.state(self._search.folder)
        running = state.name == 'running'
        self._stops = running
        self._asked = self._asked and running
        self._fields.set_visibility(not self._search.exists)
        self._button.text = 'Resume' if self._search.exists else 'Start'
        if running:
            self._button.text = 'Stop at once' if self._asked else 'Stop'
        self._button.set_visibility(state.name != 'finished')
        self._state.text = ': '.join(filter(None, state))
        self._output.text = jobs.tail(self._search.folder)
        if self._search.best.is_file():
            self._best.text = f'The best, as a config: {self._search.best}'
        self._front.show()
