"""New run: the settings with their meaning, checked as they are changed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from nicegui import ui

from .. import runs as folders
from ..app import Playground
from ..estimates import describe, find_cost
from ..forms import (
    FORM,
    GROUPS,
    Data,
    config_text,
    defaults,
    kind_faults,
)
from . import drafts
from .bounds import bar
from .fields import make_field
from .parts import frame, heading, note, words

QUIET = 0.25  # seconds without a change before a check


def add(playground: Playground) -> None:
    """Add the page."""

    @ui.page('/new')
    async def page(clone: str = '') -> None:
        with frame('New run'):
            form = Form(playground)
            form.build()
        await ui.context.client.connected()
        await form.restore(clone)


class Form:
    """The form of one visit to the page.

    Args:
        playground: What the page is about.
    """

    def __init__(self, playground: Playground) -> None:
        self._playground = playground
        self._data = playground.data()
        runs = playground.runs().values()
        self._fields = {
            s.name: make_field(s, self._change, runs) for s in FORM
        }
        self._timer: ui.timer | None = None
        self._fits = False
        self._number = 0  # of the last check

    def build(self) -> None:
        """Make the elements."""
        with ui.element('div').classes('columns'):
            with ui.element('div'):
                self._build_data()
                for title, names in GROUPS.items():
                    heading(title)
                    with ui.element('div').classes('fields'):
                        for name in names:
                            self._fields[name].build()
                    if title == 'What is an object':
                        self._bounds = ui.html('', sanitize=False)
            with (
                ui.element('aside')
                .classes('side')
                .props('aria-label="Check and start"')
            ):
                self._build_side()
        self._reset()

    async def restore(self, clone: str) -> None:
        """Fill the form: of a run, of this browser's draft, or as it is."""
        known = self._playground.runs()
        draft = known[clone].values() if clone in known else None
        draft = draft or await drafts.read()
        if draft.get('data') in self._data:
            self._dataset.value = draft['data']
            self._masks.value = bool(draft.get('masks'))
            self._fill(draft['values'])

    # what is shown

    def _build_data(self) -> None:
        heading('Data')
        with ui.element('div').classes('fields'):
            self._dataset = ui.select(
                list(self._data),
                value=next(iter(self._data)),
                label='data set',
                on_change=self._reset,
            )
            with ui.element('div'):
                self._masks = ui.switch(
                    'find outlines too (instance segmentation)',
                    on_change=self._reset,
                )
                self._about = note()

    def _build_side(self) -> None:
        self._verdict = note('Checking: PyTorch is loading …')
        self._verdict.props('role=status')
        self._general = note(kind='bad').props('role=alert')
        self._cost = note().props('role=status')
        self._name = ui.input('name of the run', value=self._free_name())
        self._name_line = note(kind='bad').props('role=alert')
        with ui.element('div').classes('buttons'):
            self._start = ui.button('Start training', on_click=self._begin)
            self._start.props('no-caps')
            ui.button('Defaults', on_click=self._reset).props('flat no-caps')
        with ui.element('details').classes('why'):
            words('summary', 'The config as text')
            self._text = words('pre').classes('text')
            self._text.props('tabindex=0 aria-label="Config"')
            with ui.element('div').classes('buttons'):
                ui.button(
                    'Copy', on_click=lambda: ui.clipboard.write(self._config)
                ).props('flat no-caps')
                ui.button(
                    'Download mine.py',
                    on_click=lambda: ui.download.content(
                        self._config, 'mine.py', 'text/x-python'
                    ),
                ).props('flat no-caps')

    # what it holds

    @property
    def _chosen(self) -> Data:
        return self._data[self._dataset.value]

    def _reset(self) -> None:
        self._masks.set_enabled(self._chosen.has_masks)
        if not self._chosen.has_masks:
            self._masks.value = False
        self._fill({})

    def _fill(self, values: Mapping[str, Any]) -> None:
        before = defaults(self._chosen.base(self._masks.value))
        for name, field in self._fields.items():
            field.start(before[name], values.get(name, before[name]))

    def _settings(self) -> dict[str, Any]:
        """Return what a run is of: data, whether with masks, and values."""
        values = {name: field.value for name, field in self._fields.items()}
        return dict(
            data=self._dataset.value, masks=self._masks.value, values=values
        )

    def _free_name(self) -> str:
        taken, number = self._playground.runs(), 1
        while f'run-{number}' in taken:
            number += 1
        return f'run-{number}'

    # what it does

    def _change(self) -> None:
        """Check when nothing has changed for a moment."""
        self._number += 1
        if self._timer:
            self._timer.cancel()
        self._timer = ui.timer(QUIET, self._check, once=True)
        self._start.set_enabled(False)
        classes = ', '.join(self._chosen.classes[:8])
        more = len(self._chosen.classes) - 8
        self._about.text = f'classes: {classes}' + (
            f' and {more} more' if more > 0 else ''
        )

    async def _check(self) -> None:
        number, settings = self._number, self._settings()
        values, masks = settings['values'], settings['masks']
        drafts.write(settings)
        self._draw_bounds(values)
        faults = kind_faults(values)
        # these are told; the rest is checked as if they were right
        right = values | {
            name: default
            for name, default in defaults(self._chosen.base(masks)).items()
            if name in faults
        }
        text = config_text(self._chosen, masks, right)
        self._config = self._text.text = text
        cost = find_cost(self._playground, settings | dict(values=right))
        self._cost.text = describe(cost, right['iterations'])
        try:
            answer = await self._playground.engine.call(
                'check', text=text, values=right, root=os.getcwd()
            )
            faults = answer['faults'] | faults
        except ValueError as error:
            faults[''] = [str(error)]
        if number == self._number:  # nothing has changed meanwhile
            self._show(faults)

    def _show(self, faults: Mapping[str, list[str]]) -> None:
        for name, field in self._fields.items():
            field.tell(faults.get(name, []))
        self._general.text = ' '.join(faults.get('', []))
        self._fits = not faults
        count = len(faults)
        self._verdict.text = (
            'Everything fits.'
            if not faults
            else f'{count} setting{"s" * (count > 1)} '
            f'do{"es" * (count == 1)} not fit.'
        )
        self._verdict.classes(
            replace=f'note {"good" if self._fits else "bad"}'
        )
        self._start.set_enabled(self._fits)

    def _draw_bounds(self, values: Mapping[str, Any]) -> None:
        rows = (
            ('anchors', values['rpn_lower_iou'], values['rpn_upper_iou']),
            ('regions', values['rcnn_lower_iou'], values['rcnn_upper_iou']),
        )
        self._bounds.content = ''.join(bar(*row) for row in rows)

    def _begin(self) -> None:
        if not self._fits:
            return
        try:
            run = folders.create_run(
                self._playground.root,
                (self._name.value or '').strip(),
                self._settings(),
                self._config,
            )
        except ValueError as error:
            self._name_line.text = str(error)
            return
        folders.start(run)
        ui.navigate.to(f'/run/{run.name}')
