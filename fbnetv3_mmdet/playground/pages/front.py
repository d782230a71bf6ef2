"""The candidates of a search as a picture that can be clicked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nicegui import events, ui

from ..app import Playground
from ..runs import Run
from ..searches import Search, train
from .parts import axis, chart, note

AXES = {  # cost: its name, and what it is divided by
    'latency': ('latency, ms', 1),
    'macs': ('million multiply-adds', 1e6),
    'params': ('million parameters', 1e6),
}
KINDS = {'front': True, 'others': False}


class Front:
    """AP over a cost; a click tells what a candidate changes.

    Args:
        playground: What the pages are about.
        search: Whose candidates are shown.
        run: From which it started; None: it was made by hand.
    """

    def __init__(
        self, playground: Playground, search: Search, run: Run | None
    ) -> None:
        self._playground, self._search, self._run = playground, search, run
        self._candidates: list[dict[str, Any]] = []

    def build(self) -> None:
        """Make the elements."""
        self._chart = ui.echart(
            {}, renderer='svg', on_point_click=self._click
        ).classes('chart')
        self._choice = ui.select(
            {}, label='candidate', on_change=lambda: self._tell()
        ).style('width: min(22rem, 100%)')
        self._chosen = ui.element('div').classes('card')
        self._chosen.set_visibility(False)
        self.show()

    def show(self) -> None:
        """Show the candidates that there are."""
        found = self._search.candidates()
        self._chart.set_visibility(bool(found))
        self._choice.set_visibility(bool(found))
        if found and found != self._candidates:
            self._candidates = found
            self._chart.options.clear()
            self._chart.options.update(scatter(found))
            self._chart.update()
            ranked = sorted(found, key=lambda one: -one['mean'])
            self._choice.set_options(
                {
                    one['number']: f'{_name(one)}: AP {one["mean"]:.3f}'
                    for one in ranked
                },
                value=self._choice.value,
            )

    def _click(self, event: events.EChartPointClickEventArguments) -> None:
        self._choice.value = int(event.name[1:])

    def _tell(self) -> None:
        """Tell what the candidate that was chosen changes."""
        (one,) = (
            c for c in self._candidates if c['number'] == self._choice.value
        )
        self._chosen.clear()
        self._chosen.set_visibility(True)
        with self._chosen:
            error = one['error']
            error = 'one seed' if error is None else f'± {error:.3f}'
            note(
                f'{_name(one)}: AP {one["mean"]:.3f} ({error}). '
                f'It changes {one["changes"]}.'
            ).props('role=status')
            note(str(self._search.work_dir / one['config']))
            ui.button(
                'Train it as a run', on_click=lambda: self._train(one)
            ).props('outline no-caps')

    def _train(self, one: dict[str, Any]) -> None:
        root = self._playground.root
        try:
            run = train(root, self._run, self._search, one)
        except ValueError as error:
            with self._chosen:
                note(str(error), 'bad')
            return
        ui.navigate.to(f'/run/{run.name}')


def scatter(candidates: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the options of a chart of candidates, at least one."""
    cost = next((c for c in AXES if c in candidates[0]['costs']), None)
    label, unit = AXES.get(cost, ('trial', 1))

    def point(one: dict[str, Any]) -> dict[str, Any]:
        x = one['costs'][cost] / unit if cost else one['number']
        return {
            'name': _name(one),
            'value': [round(x, 3), round(one['mean'], 4)],
        }

    return chart('AP of the candidates') | {
        'tooltip': {'trigger': 'item'},
        'xAxis': axis(label) | {'scale': True, 'nameGap': 26},
        'yAxis': axis('') | {'scale': True},
        'series': [
            {
                'name': name,
                'type': 'scatter',
                'symbolSize': 14,
                'data': [
                    point(c) for c in candidates if c['in_front'] == kind
                ],
            }
            for name, kind in KINDS.items()
        ],
    }


def _name(one: dict[str, Any]) -> str:
    """Return the name of a candidate's first trial."""
    return f't{one["number"]:03d}'
