"""Import of a labelling tool's export, on the page on data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from nicegui import ui

from .. import jobs
from ..app import Playground
from ..forms import TRAIN, Data
from .parts import heading, note, words

# What labels do not tell: the tool's options, by what is asked.
QUESTIONS = {
    'boxes in COCO files are': {
        '--boxes xywh': 'a corner, width and height',
        '--boxes xyxy': 'two corners',
    },
    'run-length masks marked as crowds are': {
        '--brush-masks': 'single objects, of a brush',
        '--no-brush-masks': 'crowds',
    },
}


class Importer:
    """A choice of exports, and the import of one.

    Args:
        playground: What the pages are about.
        data: The data sets that there are, by name.
    """

    def __init__(
        self, playground: Playground, data: Mapping[str, Data]
    ) -> None:
        self._playground = playground
        self._data = data
        self._job: Path | None = None

    def build(self) -> None:
        """Make the elements; none where there is no export."""
        self._sources = self._find()
        if not self._sources:
            return
        heading("Import a labelling tool's export")
        note('It is read, mended and split; the export itself stays as it is.')
        with ui.element('div').classes('buttons'):
            self._source = ui.select(
                list(self._sources),
                value=next(iter(self._sources)),
                label='folder',
            )
            self._source.style('min-width: min(20rem, 100%)')
            ui.button('Import', on_click=self._begin).props('no-caps')
        with ui.element('details').classes('why'):
            words('summary', 'If the import asks')
            self._answers = [
                ui.select(
                    {'': 'as it finds', **answers}, value='', label=label
                )
                for label, answers in QUESTIONS.items()
            ]
        self._line = note().props('role=status')
        self._output = words('pre').classes('text')
        self._output.props('tabindex=0 aria-label="Import: output"')
        self._output.set_visibility(False)
        ui.timer(1, self._poll)

    def _find(self) -> dict[str, Path]:
        """Return folders of ``--data`` that are no data sets yet, by name."""
        found = {}
        for given in self._playground.folders:
            inner = sorted(filter(_is_shown, given.iterdir()))
            folders = [folder for folder in inner if folder.is_dir()]
            # one with files may be an export, one without holds some
            has_files = len(folders) < len(inner)
            for folder in (
                [given, *folders] if has_files else [*folders, given]
            ):
                if not (folder / TRAIN).is_file() and not any(
                    d.folder in (folder, *folder.parents)
                    for d in self._data.values()
                ):
                    found[folder.name] = folder.resolve()
        return found

    def _begin(self) -> None:
        name = self._source.value
        folder = self._playground.imported
        self._job = job_of(self._playground, name)
        self._job.mkdir(parents=True, exist_ok=True, mode=0o700)
        options = [str(self._sources[name]), '--out', str(folder / name)]
        for answer in self._answers:
            options += answer.value.split()
        jobs.start(self._job, ('import_dataset', *options))

    def _poll(self) -> None:
        if self._job is None:
            return
        state = jobs.state(self._job)
        self._line.text = state.line or state.name
        self._output.text = jobs.tail(self._job)
        self._output.set_visibility(bool(self._output.text))
        if state.name == 'finished':
            self._job = None
            ui.navigate.to(f'/data?name={quote(self._source.value)}')


def job_of(playground: Playground, name: str) -> Path:
    """Return the folder of the job that imports a data set."""
    return playground.imported / f'.{name}.job'


def _is_shown(path: Path) -> bool:
    return not path.name.startswith('.')
