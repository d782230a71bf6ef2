"""Which format the labels in a folder are in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from . import coco, label_studio, labelme, via, voc, yolo
from .notes import Notes
from .parts import Part, read_json, read_text
from .tree import Tree

NUM_SHOWN = 3  # annotation files that are named
NUM_SAMPLES = 40  # files of a kind that are opened to recognise it


class Format(NamedTuple):
    """A format of labels, and where it was found."""

    name: str
    file: str  # one that shows it, or several
    read: Callable[[Tree, Notes], list[Part]]


JSON_KINDS = (  # besides COCO's: whose it is, whether it is so, its reader
    ('LabelMe', labelme.is_labelme, labelme.read),
    ('ISAT', labelme.is_isat, labelme.read_isat),
    ('VIA', via.is_via, via.read),
    ('Label Studio', label_studio.is_label_studio, label_studio.read),
)


def recognise(tree: Tree) -> Format:
    """Return the format of the labels in a folder.

    Raises:
        ValueError: There are none that are known, or two kinds of labels.
    """
    found = {
        **_find_json(tree),
        **_find_xml(tree),
        **({} if tree.ending('.xml') else _find_yolo(tree)),
    }
    if not found:
        links = (
            f' ({len(tree.links_out)} links that leave it are not followed)'
        )
        raise ValueError(
            f'{str(tree.root)!r} holds no labels that are known'
            f'{links if tree.links_out else ""}; give the unpacked folder '
            'with pictures and their labels: JSON of COCO, '
            f'{", ".join(name for name, *_ in JSON_KINDS)}, XML of Pascal '
            'VOC, or text files of YOLO'
        )
    if len(found) > 1:
        one, other = [*found.values()][:2]
        raise ValueError(
            f'{str(tree.root)!r} holds {one.name} ({one.file!r}) and '
            f'{other.name} ({other.file!r}); move one of them out of the '
            'folder'
        )
    return next(iter(found.values()))


def _find_json(tree: Tree) -> dict[str, Format]:
    notes, found = Notes(), {}
    for file in _samples(tree.ending('.json')):
        value = read_json(tree.path(file), notes)
        if coco.is_coco(value):
            known = found.get('COCO')
            if known is None:
                found['COCO'] = Format(coco.flavour(file), file, coco.read)
            elif known.file.count(', ') < NUM_SHOWN - 1:
                both = f'{known.file}, {file}'
                found['COCO'] = known._replace(file=both)
            continue
        for name, is_of, read in JSON_KINDS:
            if is_of(value):
                found.setdefault(name, Format(f"{name}'s JSON", file, read))
                break
    return found


def _find_xml(tree: Tree) -> dict[str, Format]:
    for file in _samples(tree.ending('.xml')):
        if voc.parse(tree, file, Notes()).tag == 'annotation':
            return {'VOC': Format('Pascal VOC', file, voc.read)}
    return {}


def _find_yolo(tree: Tree) -> dict[str, Format]:
    labels = [*yolo.find_labels(tree).values()]
    samples = _samples(labels)
    texts = [read_text(tree.path(file), Notes()) for file in samples]
    good = [f for f, t in zip(samples, texts, strict=True) if yolo.is_label(t)]
    if not any(texts) or 2 * len(good) < len(samples):
        return {}
    return {'YOLO': Format("YOLO's text files", good[0], yolo.read)}


def _samples(files: Sequence[str]) -> Sequence[str]:
    return files[:: -(-len(files) // NUM_SAMPLES) or 1]
