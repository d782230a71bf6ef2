"""The part of a run's page that shows what the detector finds."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from nicegui import events, ui
from nicegui.element import Element

from ..app import Playground
from ..exports import NAMES, model_of
from ..guard import MAX_BODY
from ..overlay import overlay
from ..runs import Run
from .camera import Camera
from .parts import heading, note, words

Found = Mapping[str, Any]  # as the engine tells it
SHOWN = 20  # objects in the table


class Detections:
    """Shows detections in val and in a picture, from a score on.

    Args:
        playground: What the pages are about.
        run: The run.
    """

    def __init__(self, playground: Playground, run: Run) -> None:
        self._playground, self._run = playground, run
        self._compared: list[tuple[Found, Layers, Layers]] = []
        self._detected: tuple[Found, Layers, Element] | None = None

    def build(self) -> None:
        """Make the elements."""
        heading('What it detects')
        with ui.element('div').classes('buttons'):
            self._kind = ui.select(
                NAMES, value='', label='with the detector in'
            ).style('min-width: 12rem')
            ui.button('Val images, worst first', on_click=self._compare).props(
                'outline no-caps'
            )
            ui.label('score at least')
            self._score = ui.slider(
                min=0.05,
                max=0.95,
                step=0.05,
                value=0.3,
                on_change=self._choose,
            )
            self._score.props('label aria-label="least score"')
            self._score.style('width: 9rem')
        self._val = ui.element('div').classes('pairs')
        with ui.element('div').classes('buttons'):
            uploader = ui.upload(
                label='A picture of yours (20 MB at most)',
                auto_upload=True,
                max_file_size=MAX_BODY - 100_000,
                on_upload=self._detect,
                on_rejected=lambda: self._told('No picture of up to 20 MB.'),
            ).props('accept=image/* flat bordered')
            Camera(uploader, lambda line: self._told(line, 'bad')).build()
        self._about = note().props('role=status')
        self._picture = ui.element('div').classes('card')
        self._picture.set_visibility(False)

    async def _call(self, name: str, **arguments: Any) -> Any:
        model = str(model_of(self._run, self._kind.value))
        return await self._playground.engine.call(
            name, config=str(self._run.config), model=model, **arguments
        )

    async def _compare(self) -> None:
        self._told('Detecting …')
        try:
            rows = await self._call('compare')
        except ValueError as error:
            self._told(str(error), 'bad')
            return
        self._told('')
        self._val.clear()
        self._compared = []
        with self._val:
            for row in rows:
                with ui.element('div').classes('pair'):
                    truth = Layers(row)
                    truth.draw(row['truth'], f'{row["name"]}: truth')
                    self._compared.append((row, truth, Layers(row)))
        self._choose()

    async def _detect(self, upload: events.UploadEventArguments) -> None:
        image = base64.b64encode(await upload.file.read()).decode()
        upload.sender.reset()  # its list of files is of no use
        self._told('Detecting …')
        try:
            found = await self._call('detect', image=image)
        except ValueError as error:
            self._told(str(error), 'bad')
            return
        self._picture.clear()
        self._picture.set_visibility(True)
        with self._picture:
            layers = Layers(found)
            table = ui.element('table').classes('plain')
        self._detected = found, layers, table
        self._choose()

    def _choose(self) -> None:
        """Draw what has the score that the slider says."""
        least = self._score.value
        wrong = []
        for row, truth, layers in self._compared:
            found = at_least(row['found'], least)
            missed, false = mistakes(row['truth'], found)
            layers.draw(
                found, f'{row["name"]}: {missed} missed, {false} false'
            )
            wrong.append((-missed - false, truth.element.parent_slot.parent))
        for place, (_, pair) in enumerate(sorted(wrong, key=lambda w: w[0])):
            pair.style(f'order: {place}')
        if self._detected:
            whole, layers, table = self._detected
            found = at_least(whole['found'], least)
            layers.draw(found, f'objects of score {least:.2f} and more')
            self._told(f'{len(found)} objects of score {least:.2f} and more')
            _fill(table, found[:SHOWN])

    def _told(self, text: str, kind: str = 'quiet') -> None:
        self._about.text = text
        self._about.classes(replace=f'note {kind}')


class Layers:
    """A picture, and a drawing over it that can be changed.

    Args:
        found: Has its ``picture`` and ``size``.
    """

    def __init__(self, found: Found) -> None:
        self._size = found['size']
        with ui.element('figure') as self.element:
            with ui.element('div').classes('layers'):
                picture = ui.element('img')
                picture._props['src'] = _address('jpeg', found['picture'])
                picture._props['alt'] = ''
                self._drawing = ui.element('img')
            self._caption = words('figcaption')

    def draw(self, objects: Sequence[Found], caption: str) -> None:
        """Draw objects in place of those before."""
        drawn = overlay(objects, self._size).encode()
        content = base64.b64encode(drawn).decode()
        # not by props(), which would read a file's name as markup
        self._drawing._props['src'] = _address('svg+xml', content)
        self._drawing._props['alt'] = caption
        self._drawing.update()
        self._caption.text = caption


def at_least(objects: Sequence[Found], score: float) -> list[Found]:
    """Return the objects that have a score."""
    return [one for one in objects if one['score'] >= score]


def mistakes(
    truth: Sequence[Found], found: Sequence[Found]
) -> tuple[int, int]:
    """Return how many objects are missed, and how many are none."""
    hits = sum(one['hit'] for one in found)
    return len(truth) - hits, len(found) - hits


def _fill(table: Element, objects: Sequence[Found]) -> None:
    table.clear()
    with table:
        for one in objects:
            with ui.element('tr'):
                box = ', '.join(f'{side:g}' for side in one['box'])
                for text in (one['label'], one['score'], box):
                    words('td', str(text))


def _address(kind: str, content: str) -> str:
    return f'data:image/{kind};base64,{content}'
