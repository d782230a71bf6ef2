"""Run: its state and curves, what it detects, and its files to ship."""

from __future__ import annotations

from nicegui import ui

from .. import jobs
from .. import runs as folders
from ..app import Playground
from ..estimates import duration
from ..runs import Run
from .detections import Detections
from .parts import curves, frame, heading, note, points, words
from .shipping import Shipping

POLL = 2.0  # seconds
_LOSSES = ('loss', 'loss_rpn_cls', 'loss_rpn_bbox', 'loss_cls', 'loss_bbox')
_SCORES = {'coco/bbox_mAP': 'AP', 'coco/bbox_mAP_50': 'AP50'}
_WORDS = {
    'new': 'not begun',
    'waiting': 'waiting for its turn',
    'running': 'training',
    'finished': 'finished',
    'stopped': 'stopped',
    'failed': 'failed',
    'interrupted': 'interrupted',
}
_LIVE = {  # state: what the button says, and once it was pressed
    'waiting': ('Cancel', 'Cancel'),
    'running': ('Stop and save', 'Stop at once, without saving'),
}


def add(playground: Playground) -> None:
    """Add the page."""

    @ui.page('/run/{name}')
    def page(name: str) -> None:
        run = playground.runs().get(name)
        with frame(f'Run {name}' if run else 'No such run'):
            if run is None:
                note('There is no run of this name.')
                ui.link('All runs', '/runs')
                return
            View(playground, run).build()


class View:
    """One visit to the page of a run.

    Args:
        playground: What the pages are about.
        run: The run.
    """

    def __init__(self, playground: Playground, run: Run) -> None:
        self._playground = playground
        self._run = run
        self._shipping = Shipping(playground, run)
        self._asked = False  # to stop, on this page

    def build(self) -> None:
        """Make the elements, and keep them up to date."""
        with ui.element('div').classes('card'):
            self._state = note().props('role=status')
            self._bar = ui.linear_progress(0, show_value=False)
            self._bar.props('aria-label="iterations done"')
            self._line = note(kind='bad').props('role=alert')
            with ui.element('div').classes('buttons'):
                self._button = ui.button('', on_click=self._press)
                self._button.props('no-caps')
                if self._run.values().get('values'):
                    ui.button(
                        'Clone its settings',
                        on_click=lambda: ui.navigate.to(
                            f'/new?clone={self._run.name}'
                        ),
                    ).props('flat no-caps')
                if not self._run.by_hand:
                    ui.link('Search from it', f'/search/{self._run.name}')
            with ui.element('details').classes('why'):
                words('summary', 'Log')
                self._log = words('pre').classes('text')
                self._log.props('tabindex=0 aria-label="Log"')
        heading('Curves')
        with ui.element('div').classes('charts'):
            self._losses = ui.echart(curves('Losses', '', {}), renderer='svg')
            self._scores = ui.echart(curves('On val', '', {}), renderer='svg')
            for chart in (self._losses, self._scores):
                chart.classes('chart')
        Detections(self._playground, self._run).build()
        self._shipping.build()
        self._seen: tuple = ()
        self._poll()
        ui.timer(POLL, self._poll)

    def _poll(self) -> None:
        training, evaluations = self._playground.log(self._run)
        state = self._run.state()
        self._show_state(state, training)
        seen = (training[-1]['step'] if training else 0, len(evaluations))
        if seen != self._seen:
            self._seen = seen
            losses = {key: points(training, key) for key in _LOSSES}
            scores = {
                name: points(evaluations, key) for key, name in _SCORES.items()
            }
            for chart, new in (
                (self._losses, curves('Losses', '', losses)),
                (self._scores, curves('On val', '', scores)),
            ):
                chart.options.clear()
                chart.options.update(new)
                chart.update()
        if not self._run.by_hand:
            self._log.text = jobs.tail(self._run.folder)
        self._shipping.show()

    def _show_state(self, state: jobs.State, training: list[dict]) -> None:
        done = training[-1]['step'] if training else 0
        whole = self._run.max_iters()
        text = _WORDS[state.name]
        if state.name == 'running' and not training:
            text = 'starting: PyTorch is loading'
        elif state.name == 'waiting':
            text += f': {state.line}'
        elif state.name == 'stopped' and self._run.checkpoint():
            text += ', and saved'
        if whole:
            text += f' · iteration {done} of {whole}'
            self._bar.value = min(done / whole, 1)
        if state.name == 'running' and training and whole:
            seconds = training[-1].get('time', 0) * (whole - done)
            text += f' · {duration(seconds)} left'
        self._state.text = text
        lives = state.name in _LIVE
        self._line.text = '' if lives else state.line
        self._stops = lives
        self._asked = self._asked and lives
        label = 'Resume' if training else 'Start'
        if lives:
            label = _LIVE[state.name][self._asked]
        self._button.text = label
        self._button.set_visibility(
            not self._run.by_hand and state.name != 'finished'
        )

    def _press(self) -> None:
        """Do what the button says, unless the run has changed meanwhile."""
        lives = self._run.state().name in _LIVE
        if lives and self._stops:
            jobs.stop(self._run.folder)
            self._asked = True
        elif not lives and not self._stops:
            folders.start(self._run)
        self._poll()
