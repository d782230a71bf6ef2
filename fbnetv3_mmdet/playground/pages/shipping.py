"""The part of a run's page that ships it: files, and what they are worth."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from nicegui import ui

from .. import exports, jobs
from ..app import Playground
from ..exports import FILES, NAMES, Figures
from ..runs import Run
from .parts import heading, note, words


class Shipping:
    """Makes a run's files, and shows figures of each beside its download.

    Args:
        playground: What the pages are about.
        run: The run.
    """

    def __init__(self, playground: Playground, run: Run) -> None:
        self._playground, self._run = playground, run
        self._jobs: dict[str, tuple] = {}
        self._seen: object = None

    def build(self) -> None:
        """Make the elements."""
        heading('Ship it')
        self._table = ui.element('div').classes('scroll')
        self._about = note()
        with ui.element('div').classes('charts').style('margin-top: .75rem'):
            self._build_job('float', 'Export to ONNX', self._export)
            card = self._build_job(
                'int8', 'Turn into 8-bit integers', self._quantize
            )
        with card:
            self._drop = ui.select(
                list(exports.DROPS),
                value=exports.DROPS[0],
                label='points of AP50 that may be lost',
            )
        self._drop.move(target_index=1)  # under the button

    def _build_job(
        self, kind: str, label: str, press: Callable[[], None]
    ) -> ui.element:
        with ui.element('div').classes('card') as card:
            ui.button(label, on_click=press).props('outline no-caps')
            line = note().props('role=status')
            with ui.element('details').classes('why') as details:
                words('summary', 'Output')
                text = words('pre').classes('text')
                text.props(f'tabindex=0 aria-label="{label}: output"')
        self._jobs[kind] = line, details, text
        return card

    def _export(self) -> None:
        self._begin('float', lambda: exports.export(self._run))

    def _quantize(self) -> None:
        data = self._playground.data().get(self._run.values().get('data'))

        def begin() -> None:
            if data is None or data.folder is None:
                raise ValueError(
                    'integers are calibrated with images of a data set in a '
                    'folder, and this run has none'
                )
            images, train = data.folder / 'images', data.folder / 'train.json'
            exports.quantize(self._run, images, train, self._drop.value)

        self._begin('int8', begin)

    def _begin(self, kind: str, begin: Callable[[], None]) -> None:
        try:
            begin()
        except ValueError as error:
            self._jobs[kind][0].text = str(error)
            return
        self.show()

    def show(self) -> None:
        """Show how far the jobs are, and what has been measured."""
        states = {}
        for kind, (line, details, text) in self._jobs.items():
            folder = exports.folder_of(self._run, kind)
            state = states[kind] = jobs.state(folder)
            if state.name != 'new':
                line.text = state.line or (
                    'working …' if state.name == 'running' else state.name
                )
                text.text = jobs.tail(folder)
            details.set_visibility(state.name != 'new')
        evaluations = self._playground.log(self._run)[1]
        seen = states, len(evaluations), self._run.checkpoint()
        if seen != self._seen:
            self._seen = seen
            self._fill((evaluations or [{}])[-1])

    def _fill(self, evaluation: dict) -> None:
        figures = exports.read_figures(self._run)
        self._table.clear()
        with self._table, ui.element('table').classes('plain figures'):
            columns = figures.columns if figures else ['backend', 'ms', 'MB']
            with ui.element('tr'):
                for title in ('file', 'AP on val', *columns, ''):
                    words('th', title).props('scope=col')
            for kind, cells in self._rows(figures, evaluation):
                with ui.element('tr'):
                    for cell in cells:
                        words('td', cell)
                    with ui.element('td'):
                        if kind in FILES:
                            address = f'/files/{self._run.name}/{kind}'
                            ui.link('Download', address)
        self._about.text = (
            'AP and AP50 in %, on the training images that calibrated the '
            'integers: compare them with each other, and not with AP on val. '
            "'vs float' counts what the float file is sure of as the truth. "
            'ms: of a picture, one thread, this machine. A checkpoint holds '
            "the optimizer's state, too."
            if figures
            else ''
        )

    def _rows(
        self, figures: Figures | None, evaluation: dict
    ) -> Iterator[tuple[str, list[str]]]:
        """Yield the cells of the table, each row with the kind of its file."""
        count = len(figures.columns) - 2 if figures else 1
        if checkpoint := self._run.checkpoint():
            score = evaluation.get('coco/bbox_mAP')
            score = '–' if score is None else f'{100 * score:.2f}'
            gap = ['–'] * count
            yield '', [NAMES[''], score, 'torch', *gap, _megabytes(checkpoint)]
        if figures:
            told = set()
            for kind, cells in figures.rows:
                first = '' if kind in told else kind
                told.add(kind)
                yield first, [NAMES[kind], '–', *cells]
            return
        path = exports.file_of(self._run, 'float')
        if path.is_file():
            yield 'float', [NAMES['float'], '–', '–', '–', _megabytes(path)]


def _megabytes(path) -> str:
    return f'{path.stat().st_size / 1e6:.2f}'
