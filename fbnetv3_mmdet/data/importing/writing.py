"""Writing of a data set: a folder that appears when it is complete."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from tqdm import tqdm

from ...files import config_code
from .mending import Sample
from .tree import Tree

OURS = {
    *('images', 'train.json', 'val.json', 'test.json', 'mine.py'),
    '__pycache__',  # of a config that was read
}
LONGEST = 200  # bytes of a file's name; most systems take 255
CONFIG = 'faster-rcnn_fbnetv3-a-dsmask-c4_finetune_1xb4-1k_custom.py'
# The package is asked where its configs are, so that the file works with a
# clone and with an installed package, here and elsewhere.
TEMPLATE = """\
_base_ = __import__('fbnetv3_mmdet').__path__[0] + (
    '/.mim/configs/fbnetv3/'
    '{config}')

data_root = '{{{{ fileDirname }}}}/'  # the folder of this file
classes = {classes}
data = dict(data_root=data_root, metainfo=dict(classes=classes))
train_dataloader = dict(dataset=data)
val_dataloader = test_dataloader = dict(dataset=data)
model = dict(roi_head=dict(bbox_head=dict(num_classes=len(classes))))
"""
WHITE = 'default_hooks = dict(whole_images=dict(brightest={}))  # of greys\n'


def check_target(out: Path, source: Path, force: bool) -> None:
    """Refuse to write where something would be lost.

    Raises:
        ValueError: The folder exists and nobody said ``force``, or it holds
            what no import writes, or it and the source are in each other.
    """
    real, root = Path(os.path.realpath(out)), Path(os.path.realpath(source))
    if real.is_relative_to(root) or root.is_relative_to(real):
        raise ValueError(
            f'--out {str(out)!r} and the source {str(source)!r} are in each '
            'other, and the source is not to be changed; give a folder '
            'beside it'
        )
    if not os.path.lexists(out):
        return
    if not force:
        raise ValueError(
            f'--out {str(out)!r} exists; give another folder, or --force to '
            'replace it'
        )
    names = set(os.listdir(out)) if out.is_dir() else {out.name}
    if out.is_symlink() or not names <= OURS:
        other = sorted(names - OURS) or [out.name]
        raise ValueError(
            f'--out {str(out)!r} holds what no import wrote ({other[0]!r}), '
            'which --force would delete; move it away or give another folder'
        )


@contextmanager
def complete_folder(out: Path) -> Iterator[Path]:
    """Yield where to write a folder that appears at ``out`` when complete.

    It is made beside its place under a hidden name. Where this is
    interrupted, also by SIGTERM, ``out`` is as before. What a process left
    that was killed is removed by the next that makes ``out``.
    """
    out = Path(os.path.abspath(out))
    parent = out.parent
    parent.mkdir(parents=True, exist_ok=True)
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    part = Path(tempfile.mkdtemp('.part', f'.{out.name}.', parent))
    old = part.with_suffix('.old')
    try:
        part.chmod(0o777 & ~_umask())
        yield part
        if out.exists():
            os.rename(out, old)
        try:
            os.rename(part, out)
        except OSError:
            with suppress(OSError):
                os.rename(old, out)
            raise
        _remove_left(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
        signal.signal(signal.SIGTERM, before)


def _remove_left(out: Path) -> None:
    """Remove what processes that were killed left beside a folder."""
    name = re.compile(rf'\.{re.escape(out.name)}\.\w{{8}}\.(part|old)')
    for path in out.parent.iterdir():
        if name.fullmatch(path.name) and path.is_dir():
            if {*os.listdir(path)} <= OURS:
                shutil.rmtree(path, ignore_errors=True)  # refuses links


def write(
    folder: Path,
    tree: Tree,
    parts: Mapping[str, Sequence[Sample]],
    classes: Sequence[str],
    white: int | None = None,
) -> None:
    """Write pictures, annotation files and a config.

    Args:
        folder: An empty one.
        tree: The source.
        parts: Pictures by the name of their part.
        classes: In their order.
        white: Value of greys of 16 bits that becomes white; None: 65535.
    """
    files = dict.fromkeys(s.file for part in parts.values() for s in part)
    names = output_names(files)
    (folder / 'images').mkdir()
    for file in tqdm(files, 'Linking pictures', disable=None):
        link_or_copy(tree.path(file), folder / 'images' / names[file])
    for part, samples in parts.items():
        text = json.dumps(to_coco(samples, classes, names))
        (folder / f'{part}.json').write_text(text + '\n')
    text = render_config(classes, white)
    (folder / 'mine.py').write_text(text, encoding='utf-8')


def output_names(files: Sequence[str]) -> dict[str, str]:
    """Return names without folders, each for one file only.

    Those of one name in several folders get their folders' names too.
    """
    counts = Counter(PurePosixPath(file).name.casefold() for file in files)
    taken, names = set(), {}
    for file in files:
        name = PurePosixPath(file).name
        if counts[name.casefold()] > 1:
            name = '_'.join(PurePosixPath(file).parts)
        if len(os.fsencode(name)) > LONGEST:
            name = f'{len(names)}{PurePosixPath(file).suffix}'
        while name.casefold() in taken:
            name = f'_{name}'
        taken.add(name.casefold())
        names[file] = name
    return names


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where that cannot be."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def to_coco(
    samples: Sequence[Sample],
    classes: Sequence[str],
    names: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return pictures in COCO's format, all ids from 1.

    Args:
        samples: The pictures; their objects are of these classes.
        classes: In their order.
        names: Of the files there, by those of the source; None: the same.
    """
    number = {name: i for i, name in enumerate(classes, 1)}
    images, annotations = [], []
    for key, sample in enumerate(samples, 1):
        images.append(
            {
                **sample.extra,
                'id': key,
                'file_name': names[sample.file] if names else sample.file,
                'width': sample.width,
                'height': sample.height,
            }
        )
        for item in sample.objects:
            rest = {k: v for k, v in item.items() if k != 'name'}
            ids = {'id': len(annotations) + 1, 'image_id': key}
            ids['category_id'] = number[item['name']]
            annotations.append({**ids, **rest})
    categories = [{'id': i, 'name': name} for name, i in number.items()]
    return {
        'images': images,
        'annotations': annotations,
        'categories': categories,
    }


def render_config(classes: Sequence[str], white: int | None = None) -> str:
    """Return a config that trains on the folder it is in."""
    text = config_code(tuple(classes))
    text = TEMPLATE.format(config=CONFIG, classes=text)
    return text + (WHITE.format(white) if white else '')


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
