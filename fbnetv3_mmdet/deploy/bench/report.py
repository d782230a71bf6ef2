"""Tables and pictures of a benchmark."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Mapping
from pathlib import Path

import torch
from matplotlib.figure import Figure
from terminaltables import GithubFlavoredMarkdownTable

from .jobs import PARTS
from .measure import Figures, Measured

GOAL = 1.25  # whole pipeline / networks alone
# of stages; C7 is grey
COLORS = 'C0 C1 C2 C3 C4 C5 C6 C8 C9 lightsteelblue'.split()
MARKERS = 'os^Dv<>ph*'  # of engines
REST = 'proposals, RoIAlign, NMS'


def machine() -> str:
    """Return the processor and the date."""
    model = platform.processor() or platform.machine()
    info = Path('/proc/cpuinfo')
    if info.exists():
        lines = info.read_text().splitlines()
        names = (li.partition(': ')[2] for li in lines if 'model name' in li)
        model = next(names, model)
    level = torch.backends.cpu.get_cpu_capability()
    date = datetime.date.today()
    return f'{model} ({level}), torch {torch.__version__}, {date}'


def split_networks(measured: Measured) -> Measured:
    """Return the same with each exported network split into its parts.

    An engine does not tell its stages: dense part and box stage are what
    they take alone, ``REST`` is what is left of the whole.
    """
    alone = {
        (row.model, row.engine): found.stages or {} for row, found in measured
    }
    return [
        (row, _split(found, alone.get((row.model, row.engine + PARTS), {})))
        for row, found in measured
    ]


def _split(found: Figures, parts: Mapping[str, float]) -> Figures:
    stages = dict(found.stages or {})
    if not parts or 'network' not in stages:
        return found
    parts = {k: ms for k, ms in parts.items() if k != 'other'}
    rest = max(stages.pop('network') - sum(parts.values()), 0.0)
    before = {k: stages.pop(k) for k in ('preprocess',) if k in stages}
    return found._replace(stages={**before, **parts, REST: rest, **stages})


def stage_table(measured: Measured) -> str:
    """Return a table of rows: time, stages, memory, size of the file."""
    table = [['model', 'engine', 'ms', 'quartiles', 'stages, ms', 'MiB', 'MB']]
    for row, found in measured:
        size = f'{row.file.stat().st_size / 1e6:.1f}' if row.file else ''
        if found.ms is None:
            table.append([row.model, row.engine, '-', found.error, '', '', ''])
            continue
        low, median, high = found.ms
        stages = ', '.join(f'{s} {ms:.1f}' for s, ms in found.stages.items())
        spread = f'{low:.1f} to {high:.1f}'
        figures = [f'{median:.1f}', spread, stages, f'{found.peak:.0f}', size]
        table.append([row.model, row.engine, *figures])
    return GithubFlavoredMarkdownTable(table).table


def ratio_table(measured: Measured) -> str:
    """Return how much longer whole pipelines take than their networks."""
    medians = {
        (row.model, row.engine): found.ms[1]
        for row, found in measured
        if found.ms
    }
    table = [['model', 'engine', 'whole, ms', 'networks, ms', 'ratio', 'goal']]
    for (model, engine), whole in medians.items():
        alone = medians.get((model, engine + PARTS))
        if alone:
            ratio = whole / alone
            verdict = f'{"met" if ratio <= GOAL else "missed"} (<= {GOAL})'
            figures = [f'{whole:.1f}', f'{alone:.1f}', f'{ratio:.2f}', verdict]
            table.append([model, engine, *figures])
    return GithubFlavoredMarkdownTable(table).table


def training_table(measured: Measured) -> str:
    """Return images a second, and the shares of a step."""
    table = [['model', 'settings', 'images/s', 'shares of a step', 'MiB']]
    for row, found in measured:
        if found.ms is None:
            table.append([row.model, row.engine, '-', found.error, ''])
            continue
        rate = 1000 * row.job['batch_size'] / found.ms[1]
        total = sum(found.stages.values())
        shares = ', '.join(
            f'{stage} {ms / total:.1%}' for stage, ms in found.stages.items()
        )
        table.append(
            [row.model, row.engine, f'{rate:.2f}', shares, f'{found.peak:.0f}']
        )
    return GithubFlavoredMarkdownTable(table).table


def plot_stages(measured: Measured, title: str) -> Figure:
    """Return stacked bars of the stages of every whole pipeline."""
    whole = [
        (row, found)
        for row, found in measured
        if found.stages and not row.engine.endswith(PARTS)
    ]
    stages = dict.fromkeys(s for _, found in whole for s in found.stages)
    names = sorted(stages, key='other'.__eq__)  # that last, in grey
    figure = Figure((9, 1.2 + 0.32 * len(whole)), 120, layout='constrained')
    axes = figure.add_subplot()
    left = [0.0] * len(whole)
    for i, name in enumerate(names):
        widths = [found.stages.get(name, 0.0) for _, found in whole]
        color = 'lightgrey' if name == 'other' else COLORS[i % len(COLORS)]
        axes.barh(
            range(len(whole)), widths, left=left, label=name, color=color
        )
        left = [a + b for a, b in zip(left, widths, strict=True)]
    for i, end in enumerate(left):
        axes.text(end, i, f' {end:.1f}', va='center', fontsize=8)
    labels = [f'{row.model}\n{row.engine}' for row, _ in whole]
    axes.set_yticks(range(len(whole)), labels, fontsize=6)
    axes.invert_yaxis()
    axes.set(xlabel='ms an image (medians)', title=title)
    axes.margins(x=0.08)
    axes.spines[['top', 'right']].set_visible(False)
    figure.legend(loc='outside lower center', ncols=5, fontsize=8)
    return figure


def plot_tradeoff(
    measured: Measured, precision: Mapping[str, Mapping[str, float]]
) -> Figure:
    """Return AP over latency, for the rows whose AP is known.

    Args:
        measured: Rows and their figures.
        precision: AP by model and engine.
    """
    figure = Figure((7, 5), dpi=120, layout='constrained')
    axes = figure.add_subplot()
    points = [
        (row, found.ms[1], precision[row.model][row.engine])
        for row, found in measured
        if found.ms and row.engine in precision.get(row.model, {})
    ]
    models = list(dict.fromkeys(row.model for row, _, _ in points))
    engines = list(dict.fromkeys(row.engine for row, _, _ in points))
    for row, ms, value in points:
        color = f'C{models.index(row.model)}'
        marker = MARKERS[engines.index(row.engine) % len(MARKERS)]
        axes.plot(ms, value, marker, color=color, ms=8, mfc='none', mew=2)
    for i, model in enumerate(models):  # entries of the legend
        axes.plot([], [], '-', color=f'C{i}', label=model)
    for marker, engine in zip(MARKERS, engines, strict=False):
        axes.plot([], [], marker, color='k', mfc='none', label=engine)
    axes.set(xlabel='ms an image', ylabel='box AP', xlim=(0, None))
    axes.margins(x=0.1, y=0.3)
    axes.grid(alpha=0.3)
    figure.legend(loc='outside lower center', ncols=2, fontsize=8)
    return figure


def record(measured: Measured) -> list[dict]:
    """Return rows and figures as JSON takes them."""
    return [
        dict(model=row.model, engine=row.engine, **found._asdict())
        for row, found in measured
    ]
