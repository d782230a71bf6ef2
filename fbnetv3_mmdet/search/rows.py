"""The rows of an architecture as genes, and back.

A group is what a stage has of one number of channels: a first block and the
others. Genes have the names of their places, as ``trunk.1.0.kernel``: stage 1,
group 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..archs import Arch, Row, Rows

KERNELS = (3, 5)
EXPANSIONS = (1, 2, 3, 4, 5, 6)
BLOCKS = (1, 2, 3, 4, 5, 6)  # of a group


def is_of_arch(name: str) -> bool:
    """Whether a gene is one of the architecture's, not of the recipe's."""
    return name.partition('.')[0] in ('trunk', 'rpn', 'bbox')


def _parts(arch: Arch) -> Iterable[tuple[str, Rows]]:
    """Yield the parts that are searched: name and rows."""
    yield from ((f'trunk.{i}', rows) for i, rows in enumerate(arch.trunk))
    yield 'rpn', arch.rpn
    yield 'bbox', arch.bbox


def _groups(rows: Rows) -> list[Rows]:
    """Split the rows of a part where channels change."""
    groups: list[list[Row]] = []
    for row in rows:
        same = groups and groups[-1][-1].channels == row.channels
        if same and len(groups[-1]) == 1 and groups[-1][0].op != 'conv':
            groups[-1].append(row)
        else:
            groups.append([row])
    return [tuple(group) for group in groups]


def read_rows(arch: Arch) -> dict[str, Any]:
    """Return the values of an architecture's genes, by name."""
    values: dict[str, Any] = {}
    for part, rows in _parts(arch):
        for number, group in enumerate(_groups(rows)):
            place = f'{part}.{number}'
            first, last = group[0], group[-1]
            if part != 'rpn':  # whose channels are the trunk's
                values[f'{place}.channels'] = first.channels
            if first.op == 'conv':
                continue
            values |= {
                f'{place}.op': first.op,
                f'{place}.blocks': sum(row.repeats for row in group),
                f'{place}.kernel': first.kernel,
                f'{place}.kernels': last.kernel,
                f'{place}.expand': first.expand,
                f'{place}.expands': last.expand,
            }
    return values


def build(form: Arch, values: Mapping[str, Any]) -> Arch:
    """Return the architecture of some values, in the form of another.

    Args:
        form: What gives the stages, their groups and strides.
        values: As :func:`read_rows` returns them; others are ignored.
    """
    parts = {}
    for part, rows in _parts(form):
        parts[part] = tuple(
            row
            for number, group in enumerate(_groups(rows))
            for row in _rows(f'{part}.{number}', group[0], values)
        )
    channels = parts[f'trunk.{len(form.trunk) - 1}'][-1].channels
    return form._replace(
        trunk=tuple(parts[f'trunk.{i}'] for i in range(len(form.trunk))),
        rpn=tuple(row._replace(channels=channels) for row in parts['rpn']),
        bbox=parts['bbox'],
    )


def _rows(place: str, first: Row, values: Mapping[str, Any]) -> Rows:
    """Return the rows of a group."""
    channels = values.get(f'{place}.channels', first.channels)
    if first.op == 'conv':
        return (first._replace(channels=channels),)
    op, blocks, kernel, kernels, expand, expands = (
        values[f'{place}.{name}']
        for name in ('op', 'blocks', 'kernel', 'kernels', 'expand', 'expands')
    )
    head = Row(op, kernel, channels, first.stride, 1, expand)
    rest = Row(op, kernels, channels, 1, blocks - 1, expands)
    return (head, rest) if blocks > 1 else (head,)


def choices(name: str, value: Any) -> tuple[Any, ...]:
    """Return what a gene of the architecture may be, around a value."""
    kind = name.rpartition('.')[2]
    if kind == 'channels':  # multiples of 8, from a half to one and a half
        steps = range(round(value / 16) or 1, round(value * 1.5 / 8) + 1)
        return tuple(8 * step for step in steps)
    return {
        'op': ('ir', 'ir_se'),
        'blocks': BLOCKS,
        'kernel': KERNELS,
        'kernels': KERNELS,
        'expand': EXPANSIONS,
        'expands': EXPANSIONS,
    }[kind]
