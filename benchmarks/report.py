"""Tables and pictures of a benchmark."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Sequence
from pathlib import Path

import torch
from matplotlib.figure import Figure
from terminaltables import GithubFlavoredMarkdownTable

from .processes import Figures
from .rows import Row

# of stages; C7 is grey
COLORS = 'C0 C1 C2 C3 C4 C5 C6 C8 C9 lightsteelblue'.split()
MARKERS = {'ONNX Runtime': 'o', 'OpenVINO': 's'}  # of engines of files

Measured = Sequence[tuple[Row, Figures | None]]  # None: the process failed


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


def inference_table(measured: Measured) -> str:
    """Return a table of time, stages, memory, size of the file and AP."""
    table = [
        ['model', 'engine', 'precision', 'ms', 'quartiles']
        + ['stages, ms', 'MiB', 'MB', 'AP']
    ]
    for row, found in measured:
        start = [row.model, row.engine, row.precision]
        if found is None:
            table.append([*start, 'failed', *[''] * 5])
            continue
        ms, stages = found.ms, found.stages.items()
        size = f'{row.file.stat().st_size / 1e6:.1f}' if row.file else ''
        ap = '' if row.ap is None else f'{row.ap:.1f}'
        table.append(
            [*start, f'{ms.median:.1f}', f'{ms.lower:.1f} to {ms.upper:.1f}']
            + [', '.join(f'{stage} {value:.1f}' for stage, value in stages)]
            + [f'{found.peak:.0f}', size, ap]
        )
    return GithubFlavoredMarkdownTable(table).table


def training_table(measured: Measured) -> str:
    """Return images a second, and the shares of a step."""
    table = [['model', 'settings', 'images/s', 'shares of a step', 'MiB']]
    for row, found in measured:
        if found is None:
            table.append([row.model, row.engine, 'failed', '', ''])
            continue
        rate = 1000 * row.job['batch_size'] / found.ms.median
        total = sum(found.stages.values())
        shares = ', '.join(
            f'{stage} {ms / total:.1%}' for stage, ms in found.stages.items()
        )
        table.append(
            [row.model, row.engine, f'{rate:.2f}', shares, f'{found.peak:.0f}']
        )
    return GithubFlavoredMarkdownTable(table).table


def plot_stages(measured: Measured, title: str) -> Figure:
    """Return stacked bars of the stages of every pipeline."""
    bars = [(row, found) for row, found in measured if found]
    stages = dict.fromkeys(
        stage for _, found in bars for stage in found.stages
    )
    names = sorted(stages, key='other'.__eq__)  # that last, in grey
    figure = Figure((9, 1.2 + 0.32 * len(bars)), 120, layout='constrained')
    axes = figure.add_subplot()
    left = [0.0] * len(bars)
    for i, name in enumerate(names):
        widths = [found.stages.get(name, 0.0) for _, found in bars]
        color = 'lightgrey' if name == 'other' else COLORS[i % len(COLORS)]
        axes.barh(range(len(bars)), widths, left=left, label=name, color=color)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    for i, end in enumerate(left):
        axes.text(end, i, f' {end:.1f}', va='center', fontsize=8)
    labels = [f'{row.model}\n{row.engine} {row.precision}' for row, _ in bars]
    axes.set_yticks(range(len(bars)), labels, fontsize=6)
    axes.invert_yaxis()
    axes.set(xlabel='ms an image (medians)', title=title)
    axes.margins(x=0.08)
    axes.spines[['top', 'right']].set_visible(False)
    figure.legend(loc='outside lower center', ncols=5, fontsize=8)
    return figure


def plot_accuracy(measured: Measured, title: str) -> Figure | None:
    """Return AP over time of the rows that have AP; None: there are none."""
    points = [
        (row, found) for row, found in measured if found and row.ap is not None
    ]
    if not points:
        return None
    figure = Figure((7, 4.5), 120, layout='constrained')
    axes = figure.add_subplot()
    models = [*dict.fromkeys(row.model for row, _ in points)]
    for row, found in points:
        color = COLORS[models.index(row.model) % len(COLORS)]
        axes.plot(
            found.ms.median,
            row.ap,
            MARKERS[row.engine],
            color=color,
            markerfacecolor=color if row.precision == 'float' else 'white',
            label=f'{row.model}, {row.engine} {row.precision}',
        )
    axes.set(xlabel='ms an image (medians)', ylabel='box AP on DigitScenes, %')
    axes.set_title(title)
    axes.set_xlim(left=0)
    axes.spines[['top', 'right']].set_visible(False)
    figure.legend(loc='outside lower center', ncols=1, fontsize=7)
    return figure


def record(measured: Measured) -> list[dict]:
    """Return rows and figures as JSON takes them."""
    return [
        dict(
            model=row.model,
            engine=row.engine,
            precision=row.precision,
            ap=row.ap,
            figures=found and found._asdict() | dict(ms=found.ms._asdict()),
        )
        for row, found in measured
    ]
