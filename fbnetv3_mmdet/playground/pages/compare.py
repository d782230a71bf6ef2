"""Compare: curves over each other, and the settings that differ."""

from __future__ import annotations

import re
from collections.abc import Iterator
from statistics import fmean
from typing import Any

from nicegui import ui

from ...costs import costs, total
from ..app import Playground
from ..exports import Figures, read_figures
from ..forms import FORM
from ..runs import Run
from ..seeds import verdict, without_seed
from .parts import curves, frame, heading, note, points, words

METRICS = {
    'AP': 'coco/bbox_mAP',
    'AP50': 'coco/bbox_mAP_50',
    'AP75': 'coco/bbox_mAP_75',
    'AP, small': 'coco/bbox_mAP_s',
    'AP, medium': 'coco/bbox_mAP_m',
    'AP, large': 'coco/bbox_mAP_l',
}
_CLASS = re.compile(r'coco/(.+)_precision')  # of an evaluator by class


def add(playground: Playground) -> None:
    """Add the page."""

    @ui.page('/compare')
    def page() -> None:
        with frame('Compare'):
            found = playground.runs()
            chosen = ui.select(
                list(found),
                multiple=True,
                value=list(found)[:2],
                label='runs',
                on_change=lambda: fill(),
            ).props('use-chips')
            chosen.style('min-width: min(20rem, 100%)')
            place = ui.element('div')

            def fill() -> None:
                place.clear()
                with place:
                    _show(playground, [found[n] for n in chosen.value])

            fill()


def _show(playground: Playground, runs: list[Run]) -> None:
    if not runs:
        note('Choose runs to see them side by side.')
        return
    logs = {run.name: playground.log(run) for run in runs}
    heading('Curves')
    with ui.element('div').classes('charts'):
        for title, key, part in (
            ('AP on val', 'coco/bbox_mAP', 1),
            ('Loss', 'loss', 0),
        ):
            lines = {n: points(log[part], key) for n, log in logs.items()}
            ui.echart(curves(title, '', lines), renderer='svg').classes(
                'chart'
            )
    heading('Where they differ')
    settings = {run.name: _settings(run) for run in runs}
    rows = [
        (s.label, *(values.get(s.name, '?') for values in settings.values()))
        for s in FORM
        if len({repr(v.get(s.name)) for v in settings.values()}) > 1
    ]
    _table(['setting', *settings], rows or [('nothing', *[''] * len(runs))])
    heading('Results')
    last = {n: (log[1] or [{}])[-1] for n, log in logs.items()}
    rows = [
        (label, *(_figure(e.get(key)) for e in last.values()))
        for label, key in METRICS.items()
    ]
    by_class = _by_class(list(last.values()))
    rows += [*by_class, *_costs(settings), *_times(runs)]
    _table(['on val', *logs], rows)
    if not by_class:
        note(
            'No AP by class: none of these logged it. A config with '
            'val_evaluator = dict(classwise=True) does.'
        )
    note(
        'ms: of a picture, one thread, as turning a run into 8-bit integers '
        'measured it; runs that were measured at other times had other '
        'neighbours on this machine.'
    )
    for line in _verdicts(playground, runs):
        note(line)


def _verdicts(playground: Playground, runs: list[Run]) -> Iterator[str]:
    """Yield what seeds say of the differences to the best of some runs."""
    found: dict[str, dict[object, float]] = {}  # by group, then by seed
    for run in playground.runs().values():
        evaluations = playground.log(run)[1]
        ended = evaluations and evaluations[-1]['step'] == run.max_iters()
        if ended and 'coco/bbox_mAP' in evaluations[-1]:
            seed = run.values().get('values', {}).get('seed')
            seed = run.name if seed is None else seed  # each its own
            score = evaluations[-1]['coco/bbox_mAP']
            found.setdefault(_group(run), {}).setdefault(seed, score)
    scores = {group: [*of.values()] for group, of in found.items()}
    names: dict[str, list[str]] = {}
    for run in runs:
        if _group(run) in scores:
            names.setdefault(_group(run), []).append(run.name)
        else:
            yield f'{run.name} has not ended: its AP is not judged.'
    ranked = sorted(names, key=lambda group: -fmean(scores[group]))
    for group in ranked[1:]:
        pair = ranked[0], group
        who = ' against '.join(', '.join(names[g]) for g in pair)
        yield f'{who}: {verdict(*(scores[g] for g in pair))}'


def _group(run: Run) -> str:
    """Return what runs have in common whose AP may be averaged."""
    return run.name if run.by_hand else without_seed(run.values())


def _by_class(evaluations: list[dict]) -> list[tuple]:
    found = {
        key: match
        for e in evaluations
        for key in e
        if (match := _CLASS.fullmatch(key))
    }
    return [
        (f'AP, {match[1]}', *(_figure(e.get(key)) for e in evaluations))
        for key, match in found.items()
    ]


def _times(runs: list[Run]) -> Iterator[tuple]:
    """Yield the milliseconds of the files that runs ship."""
    found = [read_figures(run) for run in runs]
    for kind, name in (('float', 'float'), ('int8', '8-bit')):
        cells = ['–' if f is None else _fastest(f, kind) for f in found]
        yield f'ms, ONNX {name}', *cells


def _fastest(figures: Figures, kind: str) -> str:
    """Return the time of a file in the backend that is fastest with it."""
    place = figures.columns.index('ms')
    rows = [cells for of, cells in figures.rows if of == kind]
    best = min(rows, key=lambda cells: float(cells[place]))
    return f'{best[place]} ({best[0]})'


def _settings(run: Run) -> dict[str, Any]:
    return run.values().get('values', {})


def _costs(settings: dict[str, dict]) -> list[tuple]:
    rows = ([], [])
    for values in settings.values():
        try:
            found = costs(
                values['arch'], regions=values['test_proposals_after_nms']
            )
        except (KeyError, ValueError):
            rows[0].append('?')
            rows[1].append('?')
            continue
        whole = total(found[part] for part in ('trunk', 'rpn', 'bbox'))
        rows[0].append(f'{whole.params / 1e6:.2f} M')
        rows[1].append(f'{whole.macs / 1e6:.0f} M')
    return [('parameters', *rows[0]), ('multiply-adds', *rows[1])]


def _figure(value: Any) -> str:
    return '–' if value is None or value < 0 else f'{value:.3f}'


def _table(titles: list[str], rows: list[tuple]) -> None:
    with (
        ui.element('div').classes('scroll'),
        ui.element('table').classes('plain'),
    ):
        with ui.element('tr'):
            for title in titles:
                words('th', title).props('scope=col')
        for row in rows:
            with ui.element('tr'):
                for value in row:
                    words('td', str(value))
