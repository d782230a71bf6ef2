"""The engine's half of the page on data: findings, pictures, twins."""

from __future__ import annotations

import base64
import functools
import io
import json
from pathlib import Path
from typing import Any

from .forms import CONFIGS, CUSTOM, stamp
from .images import jpeg

SIDE = 320  # px, of a small picture


def examine(folder: str) -> dict[str, Any]:
    """Return what the doctor finds in a data set.

    Args:
        folder: With images/, train.json and val.json.

    Returns:
        dict: ``findings``, ``val_findings`` and ``fits`` as text;
        ``boxes`` and ``defects``, pictures in base 64 (PNG), or None;
        ``anchors``, values of the form that reach more boxes, or None.
    """
    from ..data import doctor

    cfg = _config()
    rules = doctor.read_rules(cfg, with_classes=False)
    images, val = Path(folder, 'images'), Path(folder, 'val.json')
    found = doctor.examine(
        cfg,
        rules,
        str(Path(folder, 'train.json')),
        str(images),
        str(val) if val.is_file() else None,
        opens_images=True,
    )
    content, findings, val_findings, boxes, fits, pooler = found
    report = doctor.make_report(content, boxes, fits, pooler, findings)
    figure = doctor.plot_boxes(content.names, content.labels, boxes, fits)
    drawn = io.BytesIO()
    figure.savefig(drawn, format='png', dpi=80)
    sheet = doctor.draw_defects(findings, content.pictures, images)
    better = doctor.better_fit(fits)
    anchors = better and dict(
        anchor_scales=better.settings['scales'],
        anchor_ratios=better.settings['ratios'],
    )
    return dict(
        text=doctor.render(report, findings),
        val_text=doctor.render_findings(val_findings) if val.is_file() else '',
        harmful=findings.harmful or val_findings.harmful,
        boxes=base64.b64encode(drawn.getvalue()).decode(),
        defects=sheet and jpeg(sheet),
        anchors=anchors,
    )


def browse(
    folder: str, split: str, label: int | None, first: int, count: int
) -> dict[str, Any]:
    """Return images of a data set with their boxes.

    Args:
        folder: With images/, train.json and val.json.
        split: 'train' or 'val'.
        label: Of the images that are wanted, their index in the file's
            classes; None: all.
        first: Number of the first image, of those that are wanted.
        count: How many.

    Returns:
        dict: ``total`` images that are wanted, and ``images``: ``name`` and
        ``picture``, a JPEG in base 64.
    """
    import torch
    from mmengine.structures import InstanceData

    from fbnetv3_runtime.images import read_photo

    from ..visualization import draw_instances

    file = Path(folder, f'{split}.json')
    content, names = _annotations(file, stamp(file))
    wanted = [
        image
        for image, objects in content.values()
        if label is None or any(o[0] == label for o in objects)
    ]
    shown = []
    for image in wanted[first : first + count]:
        objects = content[image['id']][1]
        boxes = torch.tensor([o[1] for o in objects]).reshape(-1, 4).float()
        boxes[:, 2:] += boxes[:, :2]
        truth = InstanceData(
            bboxes=boxes,
            labels=torch.tensor([o[0] for o in objects], dtype=torch.long),
        )
        photo = read_photo(str(Path(folder, 'images', image['file_name'])))
        drawn = draw_instances(photo.picture, truth, dict(classes=names), SIDE)
        shown.append(dict(name=image['file_name'], picture=jpeg(drawn)))
    return dict(total=len(wanted), images=shown)


def twins(folder: str, first: int, count: int) -> dict[str, Any]:
    """Return images of train beside those of val that they look like.

    Args:
        folder: With images/, train.json and val.json.
        first: Number of the first pair.
        count: How many pairs.

    Returns:
        dict: ``total`` pairs, and ``pairs``: ``names``, ``about``, and
        ``pictures``, JPEGs in base 64, of train and of val.
    """
    from fbnetv3_runtime.images import read_photo

    files = Path(folder, 'train.json'), Path(folder, 'val.json')
    found = _leaks(folder, *map(stamp, files))
    pairs = []
    for leak in found[first : first + count]:
        names = leak.file, leak.twin
        photos = [read_photo(str(Path(folder, 'images', n))) for n in names]
        about = (
            'the same file'
            if leak.is_copy
            else f'{leak.share:.0%} of their gradients in common'
        )
        for photo in photos:
            photo.picture.thumbnail((SIDE, SIDE))
        pictures = [jpeg(photo.picture) for photo in photos]
        pairs.append(dict(names=names, about=about, pictures=pictures))
    return dict(total=len(found), pairs=pairs)


def _config():
    """Return the config that data of one's own are trained with."""
    from ..cli import load_config

    return load_config(str(CONFIGS / f'faster-{CUSTOM}'))


@functools.lru_cache(maxsize=1)
def _leaks(folder: str, *stamps: tuple[int, int]) -> list:
    """Return what val has of train; it takes as long as opening all images.

    Args:
        folder: With images/, train.json and val.json.
        stamps: Of these two; others, and it is looked for again.
    """
    from ..data import doctor

    rules = doctor.read_rules(_config(), with_classes=False)
    images = Path(folder, 'images')
    inspected = []
    for split in ('train', 'val'):
        data = doctor.read_annotations(str(Path(folder, f'{split}.json')))
        content, _ = doctor.check_annotations(data, rules, images)
        inspected.append(doctor.inspect_all(content.pictures, images, split))
    return list(doctor.find_leaks(*inspected))


@functools.lru_cache(maxsize=4)
def _annotations(path: Path, changed: tuple[int, int]):
    """Return the images of a file by id, each with its objects."""
    data = json.loads(path.read_text())
    labels = {c['id']: i for i, c in enumerate(data['categories'])}
    content = {image['id']: (image, []) for image in data['images']}
    for a in data['annotations']:
        if a['category_id'] in labels and a['image_id'] in content:
            label = labels[a['category_id']]
            content[a['image_id']][1].append((label, a['bbox']))
    return content, [c['name'] for c in data['categories']]
