"""An import from the source's folder to the one that configs expect."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ...files import complete_file
from .classes import ask_brush_masks, choose_classes, name_categories
from .coco import entries, is_coco
from .mending import MISSING, Sample, mend_part
from .notes import Notes
from .parts import Part, read_json
from .pictures import find_dim
from .recognise import Format, recognise
from .splitting import split
from .tree import Tree
from .writing import check_target, complete_folder, to_coco, write

SHARE = 0.2  # of the pictures that a val part gets


class Options(NamedTuple):
    """What a user says of an import."""

    val: float | None = None  # share of val where the source has none; 0.2
    classes: Sequence[str] | None = None  # in this order; None: all
    boxes: str | None = None  # 'xyxy': corners, 'xywh': not; None: is asked
    brush_masks: bool | None = None  # crowds are objects; None: is asked
    seed: int = 0  # of the val part


class Imported(NamedTuple):
    """What an import wrote."""

    classes: tuple[str, ...]
    pictures: dict[str, int]  # how many there are, by part
    objects: dict[str, int]
    notes: list[str]  # a line for each kind of what was mended


def open_source(source: Path) -> tuple[Tree, Format]:
    """Return the files of a folder, and the format of its labels.

    Raises:
        ValueError: It is no folder, or its labels are of no known format.
    """
    if not source.is_dir():
        raise ValueError(
            f'{str(source)!r} is not a folder; give the unpacked folder with '
            'pictures and their labels'
        )
    tree = Tree(source)
    return tree, recognise(tree)


def import_dataset(
    tree: Tree, form: Format, out: Path, options: Options, force: bool = False
) -> Imported:
    """Write images/, train.json, val.json and mine.py of a source.

    Args:
        tree: Of :func:`open_source`.
        form: Of that, too.
        out: The folder to make.
        options: What the user says.
        force: Whether to replace ``out``.

    Raises:
        ValueError: Something of the source is not understood, or an option
            is wrong. Nothing has been written then.
    """
    check_target(out, tree.root, force)
    notes = Notes()
    links = tree.links_out
    notes.add('link out of the folder not followed', *links, count=len(links))
    read = form.read(tree, notes)
    names, parts = _mend(read, tree, options, notes)
    if not any(parts.values()):
        raise ValueError(
            f'none of the {notes[MISSING]} pictures that the labels name is '
            f'in {str(tree.root)!r}; copy them into it'
        )
    parts = _divide(parts, tree, options.val, options.seed)
    others = [s for name in ('val', 'test') for s in parts.get(name, ())]
    chosen = choose_classes(
        parts['train'], others, names, options.classes, notes
    )
    dim = find_dim(tree, (s.file for part in parts.values() for s in part))
    white = 2 ** max(dim.values()).bit_length() - 1 if dim else None
    notes.add(
        f'grey of 16 bits made brighter: {white}, in mine.py, is white',
        *dim,
        count=len(dim),
    )
    with complete_folder(out) as folder:
        write(folder, tree, parts, chosen, white)
    return Imported(
        chosen,
        {name: len(samples) for name, samples in parts.items()},
        {n: sum(len(s.objects) for s in p) for n, p in parts.items()},
        notes.lines,
    )


def _mend(
    read: Sequence[Part], tree: Tree | None, options: Options, notes: Notes
) -> tuple[list[str], dict[str, list[Sample]]]:
    """Return the names of the categories, and the pictures by part."""
    names = name_categories(read, options.classes, notes)
    if options.brush_masks is None:
        ask_brush_masks(read)
    parts: dict[str, list[Sample]] = {}
    for part in read:
        samples = mend_part(
            part, tree, options.boxes, bool(options.brush_masks), notes
        )
        parts.setdefault(part.split or 'train', []).extend(samples)
    return names, parts


def _divide(
    parts: dict[str, list[Sample]], tree: Tree, val: float | None, seed: int
) -> dict[str, list[Sample]]:
    """Return the parts with a train and a val part."""
    if parts.get('train') and parts.get('val'):
        if val is not None:
            raise ValueError(
                f'--val {val}: the source has a val part of '
                f'{len(parts["val"])} pictures; leave --val out'
            )
        return {k: parts[k] for k in ('train', 'val', 'test') if parts.get(k)}
    share = SHARE if val is None else val
    if not 0 < share < 1:
        raise ValueError(
            f'--val {val} is no share of the pictures; give one above 0 and '
            'below 1, such as 0.2'
        )
    pool = parts.get('train', []) + parts.get('val', [])
    if not pool:  # only a test part is labelled
        pool = parts.pop('test')
    train, held = split(pool, tree, share, seed)
    tests = {'test': parts['test']} if parts.get('test') else {}
    return {'train': train, 'val': held, **tests}


def fix_file(
    annotations: Path, folder: Path | None, out: Path, options: Options
) -> list[str]:
    """Mend a file in COCO's format; return a line for each kind.

    Args:
        annotations: The file, which is not changed.
        folder: What its file names start from; None: the pictures are not
            looked up.
        out: Where to write.
        options: What the user says; no val part is made.

    Raises:
        ValueError: It is in no format of COCO, or something of it is not
            understood. Nothing has been written then.
    """
    if out.exists() and out.samefile(annotations):
        raise ValueError(
            f'--fix {str(out)!r} is the file to mend, which is not to be '
            'changed; give another name'
        )
    notes = Notes()
    data = read_json(annotations, notes)
    if not is_coco(data):
        raise ValueError(
            f"{str(annotations)!r} is not in COCO's format; mend labels of "
            'another format by tools/import_dataset.py'
        )
    origin = str(annotations)
    part = Part('', origin, entries(data, origin, notes))
    tree = None if folder is None else Tree(folder)
    names, parts = _mend([part], tree, options, notes)
    samples = parts['train']
    kept = choose_classes(samples, (), names, options.classes, notes)
    with complete_file(out) as path:
        path.write_text(json.dumps(to_coco(samples, kept)) + '\n')
    return notes.lines
