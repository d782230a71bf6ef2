"""What the data doctor says: as data, and as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from terminaltables import GithubFlavoredMarkdownTable

from ..annotations import Content, Findings, Place, show
from ..annotations.findings import NUM_EXAMPLES
from .anchors import IOU, Fit, Scaled, missed_boxes

EDGES = (0, 8, 16, 32, 64, 128, 256, 512, np.inf)  # px, of the histogram
MAX_CLASSES = 100  # printed
NOT_REACHED = f'no anchor at IoU {IOU}'
NO_BETTER = 'These reach no more: keep those in use.'
POOLER = ('resolution', 'bins_below_cell', 'boxes_below_cell')


def make_report(
    content: Content,
    boxes: Scaled,
    fits: Sequence[Fit],
    pooler: tuple[int, float, float] | None,
    findings: Findings,
) -> dict[str, Any]:
    """Return everything that was found, ready for JSON.

    Args:
        content: What training uses of the annotations.
        boxes: Its boxes in pixels of the network's input.
        fits: Of the anchors in use and, if there is, of the suggestion.
        pooler: Of :func:`fbnetv3_mmdet.data.doctor.anchors.pooler_shares`.
        findings: Defects.
    """
    missed = missed_boxes(boxes, fits)
    classes = zip(
        map(show, content.names),
        *_counts(content.labels, missed, len(content.names)),
        strict=True,
    )
    return dict(
        images=len(content.pictures),
        annotations=content.num_annotations,
        objects=len(content.labels),
        findings=[
            dict(
                kind=str(finding.defect),
                level=finding.level,
                effect=finding.effect,
                count=finding.count,
                places=[*map(_as_dict, finding.places)],
            )
            for finding in findings
        ],
        classes=[
            dict(zip(('name', 'objects', 'missed'), row, strict=True))
            for row in classes
        ],
        sizes=_histogram(boxes, missed),
        anchors=[*map(_anchors, fits)],
        pooler=pooler and dict(zip(POOLER, pooler, strict=True)),
    )


def render(report: dict[str, Any], findings: Findings) -> str:
    """Return a report as text, safe to print."""
    shown = [
        (c['name'], c['objects'], c['missed'] if report['anchors'] else '-')
        for c in report['classes']
    ]
    texts = [
        f'{report["images"]} images, {report["annotations"]} annotations: '
        f'{report["objects"]} usable objects of {len(shown)} classes.',
        render_findings(findings),
        _table(('class', 'objects', NOT_REACHED), shown[:MAX_CLASSES]),
        *_boxes_text(report),
    ]
    return '\n\n'.join(texts)


def render_findings(findings: Findings) -> str:
    """Return a table of what was found, safe to print."""
    rows = [
        (
            finding.level,
            str(finding.defect),
            str(finding.count),
            finding.effect,
            ', '.join(map(str, finding.places[:NUM_EXAMPLES])),
        )
        for finding in findings
    ]
    head = ('level', 'what', 'count', 'training', 'for example')
    return _table(head, rows) if rows else 'Nothing is wrong.'


def _boxes_text(report: dict[str, Any]) -> list[str]:
    """Return what the report says of boxes, anchors and pooler."""
    head = ('size in the network', 'objects', NOT_REACHED)
    rows = [
        (
            f'{row["from"]} to {row["to"] or "…"} px',
            row['objects'],
            row['missed'] if report['anchors'] else '-',
        )
        for row in report['sizes']
    ]
    texts = [_table(head, rows)]
    for anchors in report['anchors']:
        kind = 'that k-means chooses' if anchors['snippet'] else 'in use'
        texts.append(
            f'Anchors {kind}: {_list(anchors["sizes"])} px, height/width '
            f'{_list(anchors["ratios"])}. {anchors["missed"]:.1%} of the '
            f'objects reach no anchor at IoU {IOU}; mean best IoU '
            f'{anchors["mean_iou"]:.3f}.'
        )
        if anchors['snippet']:
            helps = anchors['missed'] < report['anchors'][0]['missed']
            texts.append(anchors['snippet'] if helps else NO_BETTER)
    if pooler := report['pooler']:
        cells = pooler['resolution']
        texts.append(
            f'Pooler, {cells}x{cells} bins: {pooler["bins_below_cell"]:.1%} '
            'of the objects have bins under one feature cell, '
            f'{pooler["boxes_below_cell"]:.1%} are under one cell as a whole.'
        )
    return texts


def _anchors(fit: Fit) -> dict[str, Any]:
    return dict(
        sizes=fit.sizes,
        ratios=fit.ratios,
        missed=fit.missed,
        mean_iou=float(fit.overlaps.mean()),
        snippet=fit.snippet,
    )


def _counts(
    bins: np.ndarray, missed: np.ndarray, num: int
) -> tuple[list[int], list[int]]:
    """Return how many boxes each bin has, and how many that are missed."""
    return (
        np.bincount(bins, minlength=num).tolist(),
        np.bincount(bins[missed], minlength=num).tolist(),
    )


def _histogram(boxes: Scaled, missed: np.ndarray) -> list[dict[str, Any]]:
    """Return the boxes by size."""
    bins = np.digitize(boxes.sizes, EDGES) - 1
    counts = _counts(bins, missed, len(EDGES) - 1)
    return [
        dict(zip(('from', 'to', 'objects', 'missed'), row, strict=True))
        for row in zip(EDGES[:-1], (*EDGES[1:-1], None), *counts, strict=True)
    ]


def _as_dict(place: Place) -> dict[str, Any]:
    """Return a place for JSON, whatever its ids are."""
    return {
        key: value if type(value) is int else show(value)
        for key, value in place._asdict().items()
        if value not in (None, '') and key not in ('box', 'twin')
    }


def _list(values: Iterable[float]) -> str:
    return ', '.join(f'{value:g}' for value in values)


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table whose columns of numbers are to the right."""
    rows = [tuple(map(str, row)) for row in rows]
    table = GithubFlavoredMarkdownTable([head, *rows])
    for column in range(len(head)):
        if all(row[column].isdigit() for row in rows):
            table.justify_columns[column] = 'right'
    return table.table
