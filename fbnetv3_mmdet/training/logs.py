"""What mmengine's runs wrote into a work dir."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

METRICS = {  # heading: how CocoMetric's key goes on after `bbox_mAP`
    'AP': '',
    'AP50': '_50',
    'AP75': '_75',
    'AP small': '_s',
    'AP medium': '_m',
    'AP large': '_l',
}


def read_records(work_dir: Path) -> list[dict]:
    """Return what the runs in a work dir logged, as if they were one.

    What a resumed run logged replaces what earlier ones did of the same
    iterations and of those beyond.

    Args:
        work_dir: Of mmengine's runner.

    Returns:
        list: A record each of training (``iter`` is one of its keys) and of
        evaluation. ``step`` is the iteration; mmengine itself gives an
        evaluation the epoch unless told otherwise, and here it gets the
        iteration logged before.

    Raises:
        ValueError: There is no record.
    """
    records: dict[tuple[int, bool], dict] = {}
    for path in sorted(work_dir.glob('*/vis_data/scalars.json')):
        run = [r for r in _parse(path.read_text()) if 'step' in r]
        first = min((r['step'] for r in run if 'iter' in r), default=math.inf)
        records = {key: r for key, r in records.items() if key[0] < first}
        step = max((step for step, _ in records), default=0)
        for record in run:
            step = max(record['step'], step)
            records[step, 'iter' in record] = {**record, 'step': step}
    if not records:
        raise ValueError(
            f'{str(work_dir)!r} holds no log (*/vis_data/scalars.json); give '
            'the --work-dir of a tools/train.py that has begun'
        )
    return list(records.values())


def coco_metrics(metrics: Mapping[str, float]) -> dict[str, list[float]]:
    """Return the figures of ``METRICS`` by kind of IoU, 'bbox' or 'segm'.

    Those that an evaluation left out, by its ``metric_items``, are NaN.

    Args:
        metrics: Of MMDetection's ``CocoMetric``, and whatever else.
    """
    kinds = {key: f'coco/{key}_mAP' for key in ('bbox', 'segm')}
    return {
        kind: [metrics.get(name + end, math.nan) for end in METRICS.values()]
        for kind, name in kinds.items()
        if any(key.startswith(name) for key in metrics)
    }


def _parse(text: str) -> Iterator[dict]:
    """Yield the records of a log, but for lines cut short by a crash."""
    for line in text.splitlines():
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            continue
