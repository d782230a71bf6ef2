"""Data: what is wrong with it, its boxes against the anchors, its images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nicegui import ui

from .. import jobs
from ..app import Playground
from . import drafts
from .imports import Importer, job_of
from .pager import Pager
from .parts import frame, heading, note, picture, words


def add(playground: Playground) -> None:
    """Add the page."""

    @ui.page('/data')
    def page(name: str = '') -> None:
        with frame('Data'):
            View(playground).build(name)


class View:
    """One visit to the page.

    Args:
        playground: What the pages are about.
    """

    def __init__(self, playground: Playground) -> None:
        self._playground = playground
        found = playground.data()
        self._data = {n: d for n, d in found.items() if d.folder is not None}
        self._pagers = (
            Pager(self._images, _show_image, 'Show'),
            Pager(self._twins, _show_pair, 'Look for twins'),
        )

    def build(self, name: str) -> None:
        """Make the elements.

        Args:
            name: Of the data set to begin with; of another, the first.
        """
        importer = Importer(self._playground, self._data)
        if not self._data:
            note(
                'No data set yet: one is a folder with images/, train.json '
                'and val.json. DigitScenes, which is drawn, can be trained '
                'on all the same.'
            )
            importer.build()
            return
        with ui.element('div').classes('buttons'):
            self._chosen = ui.select(
                list(self._data),
                value=name if name in self._data else next(iter(self._data)),
                label='data set',
                on_change=self._clear,
            )
            self._chosen.style('min-width: min(20rem, 100%)')
            ui.button('Train on it', on_click=lambda: self._train()).props(
                'no-caps'
            )
        self._about = ui.element('details').classes('why')
        with self._about:
            words('summary', 'What the import found')
            self._imported = words('pre').classes('text')
            self._imported.props('tabindex=0 aria-label="Import"')
        self._build_doctor()
        self._build_pictures()
        importer.build()
        self._clear()

    def _clear(self) -> None:
        """Show nothing of another data set."""
        job = job_of(self._playground, self._chosen.value)
        self._imported.text = jobs.tail(job)
        self._about.set_visibility(bool(self._imported.text))
        self._told.text = ''
        self._found.clear()
        for pager in self._pagers:
            pager.clear()
        self._label.set_options(self._labels(), value='')

    async def _call(self, name: str, **arguments: Any) -> Any:
        folder = str(self._data[self._chosen.value].folder)
        return await self._playground.engine.call(
            name, folder=folder, **arguments
        )

    async def _train(self, values: Mapping[str, Any]) -> None:
        """Go to the form of a run with these data, and perhaps some values."""
        name = self._chosen.value
        draft = await drafts.read()
        if draft.get('data') != name:
            draft = dict(data=name, masks=False, values={})
        drafts.write(draft | dict(values=draft['values'] | values))
        ui.navigate.to('/new')

    # the doctor

    def _build_doctor(self) -> None:
        heading('Is something wrong with it?')
        ui.button('Check the data', on_click=self._examine).props('no-caps')
        self._told = note().props('role=status')
        self._found = ui.element('div')

    async def _examine(self) -> None:
        self._told.text = 'Opening all images …'
        try:
            report = await self._call('examine')
        except ValueError as error:
            self._told.text = str(error)
            return
        self._told.text = (
            'Training would drop or misread something.'
            if report['harmful']
            else 'Nothing is wrong but what is noted.'
        )
        self._found.clear()
        with self._found:
            for title, key in (('train', 'text'), ('val', 'val_text')):
                if report[key]:
                    heading(f'In {title}')
                    output = words('pre').classes('text unwrapped')
                    output.props(f'tabindex=0 aria-label="Findings, {title}"')
                    output.text = report[key]
            heading('Boxes and anchors')
            picture('png', report['boxes'], 'Histograms of the boxes')
            self._offer(report['anchors'])
            if report['defects']:
                heading('Pictures of defects')
                picture('jpeg', report['defects'], 'Objects with defects')

    def _offer(self, anchors: dict[str, Any] | None) -> None:
        """Offer anchors for a new run, where they reach more boxes."""
        if anchors is None:
            note('No others would reach more boxes: keep these.')
            return

        ui.button(
            'Use these anchors', on_click=lambda: self._train(anchors)
        ).props('no-caps')
        note(
            'Puts those of k-means into the form of a new run, where they '
            'can be changed and taken back.'
        )

    # pictures

    def _labels(self) -> dict[str, str]:
        classes = self._data[self._chosen.value].classes
        return {'': 'all classes'} | {str(i): c for i, c in enumerate(classes)}

    def _build_pictures(self) -> None:
        images, twins = self._pagers
        heading('Images')
        with ui.element('div').classes('buttons'):
            self._split = ui.select(
                ['train', 'val'], value='train', label='part'
            )
            self._label = ui.select(self._labels(), value='', label='class')
            self._label.style('min-width: 9rem')
        images.build()
        heading('Near twins across train and val')
        note(
            'What val has in common with train counts as learned where it is '
            'only remembered: an AP of it promises too much.'
        )
        twins.build()

    async def _images(self, first: int, count: int) -> tuple[int, list]:
        label = self._label.value
        found = await self._call(
            'browse',
            split=self._split.value,
            label=int(label) if label else None,
            first=first,
            count=count,
        )
        return found['total'], found['images']

    async def _twins(self, first: int, count: int) -> tuple[int, list]:
        found = await self._call('twins', first=first, count=count)
        return found['total'], found['pairs']


def _show_image(image: dict[str, Any]) -> None:
    picture('jpeg', image['picture'], image['name'])


def _show_pair(pair: dict[str, Any]) -> None:
    with ui.element('div').classes('pair'):
        for split, name, content in zip(
            ('train', 'val'), pair['names'], pair['pictures'], strict=True
        ):
            picture('jpeg', content, f'{split}: {name}')
        note(pair['about'])
