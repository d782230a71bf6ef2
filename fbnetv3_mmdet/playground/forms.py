"""The form: which settings it has, their defaults, and the config of values.

Nothing here imports PyTorch. Defaults are those of the base configs, in a
file that a test compares with them.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..files import config_code
from ..settings import SETTINGS_OF_USERS, TRAINING_OF_USERS, Setting

PACKAGE = Path(__file__).parents[1]
CONFIGS = PACKAGE / '.mim/configs/fbnetv3'
DEFAULTS = Path(__file__).with_name('defaults.json')

FORM: tuple[Setting, ...] = SETTINGS_OF_USERS + TRAINING_OF_USERS
GROUPS = {
    'Network': ('arch', 'pooler_resolution', 'normalisation'),
    'Initial weights': (
        'initial_weights',
        'frozen_stages',
        'frozen_region_stage',
    ),
    'Training': (
        'iterations',
        'batch_size',
        'learning_rate',
        'augmentation',
        'seed',
    ),
    'Anchors': ('anchor_scales', 'anchor_ratios'),
    'What is an object': (
        'rpn_lower_iou',
        'rpn_upper_iou',
        'rcnn_lower_iou',
        'rcnn_upper_iou',
    ),
    'Proposals': (
        'train_proposals_before_nms',
        'train_proposals_after_nms',
        'test_proposals_before_nms',
        'test_proposals_after_nms',
    ),
}
WEIGHTS = (
    'd2go://mask_rcnn_fbnetv3a_dsmask_C4',
    'd2go://faster_rcnn_fbnetv3a_dsmask_C4',
    'd2go://mask_rcnn_fbnetv3a_C4',
    'd2go://faster_rcnn_fbnetv3a_C4',
)
NORMS = {
    'NaiveSyncBN': dict(type='NaiveSyncBN'),
    'SyncBN': dict(type='SyncBN'),
    'BN': dict(type='BN'),
    'GN': dict(type='GN', num_groups=8),
}
DIGITS = 'DigitScenes'
TRAIN = 'train.json'
CUSTOM = 'rcnn_fbnetv3-a-dsmask-c4_finetune_1xb4-1k_custom.py'
_DIGITS = 'rcnn_fbnetv3-a-dsmask-c4_1xb4-2k_digits.py'


class Data(NamedTuple):
    """A data set that can be trained on.

    Attributes:
        name: Of its folder.
        folder: With images/, train.json and val.json; None: DigitScenes,
            which is drawn.
        classes: Their names.
        has_masks: Whether its objects have outlines.
    """

    name: str
    folder: Path | None
    classes: tuple[str, ...]
    has_masks: bool

    def base(self, masks: bool) -> str:
        """Return the name of the config to start from."""
        return base_of(self.name, masks)


def base_of(data: str, masks: bool) -> str:
    """Return the name of the config to start from, with the data of a name."""
    kind = _DIGITS if data == DIGITS else CUSTOM
    return f'{"mask" if masks else "faster"}-{kind}'


def find_data(folders: Sequence[Path]) -> dict[str, Data]:
    """Return the data sets in some folders, by name, DigitScenes last.

    A data set is a folder that has train.json: a given one, or one in it.
    """
    found: dict[str, Data] = {}
    for given in folders:
        for folder in (given, *sorted(p for p in given.iterdir())):
            if (folder / TRAIN).is_file() and folder.name not in found:
                data = _read_data(folder, *stamp(folder / TRAIN))
                if data:
                    found[folder.name] = data
    digits = Data(DIGITS, None, tuple('0123456789'), True)
    return found | {DIGITS: digits}


def stamp(path: Path) -> tuple[int, int]:
    """Return what tells a file from what it was before."""
    status = path.stat()
    return status.st_mtime_ns, status.st_size


@functools.lru_cache(maxsize=64)  # pages ask for all data, each time
def _read_data(folder: Path, changed: int, size: int) -> Data | None:
    try:
        content = json.loads((folder / TRAIN).read_text())
        names = tuple(str(c['name']) for c in content['categories'])
        objects = content['annotations']
        masks = bool(objects) and all(o.get('segmentation') for o in objects)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None  # the doctor tells what is wrong with it
    return Data(folder.name, folder.resolve(), names, masks)


def defaults(base: str) -> dict[str, Any]:
    """Return the values of the form that a base config has."""
    return dict(_all_defaults()[base])


@functools.cache
def _all_defaults() -> dict[str, dict[str, Any]]:
    return json.loads(DEFAULTS.read_text())


def config_text(data: Data, masks: bool, values: Mapping[str, Any]) -> str:
    """Return a config: its base, and what the values change in it.

    Args:
        data: To train on.
        masks: Whether to find outlines too.
        values: Of all settings of the form, by name.
    """
    base = data.base(masks)
    before = defaults(base)
    tree: dict[str, Any] = {}
    for setting in FORM:
        value = values[setting.name]
        if value != before[setting.name]:
            _put(tree, setting.path, value)
    lines = [f'_base_ = {str(CONFIGS / base)!r}', '']
    if data.folder is not None:
        # a form says all of it: what stands there is what is trained
        _put(tree, 'from_scratch._delete_', True)
        heads = ('bbox_head', 'mask_head') if masks else ('bbox_head',)
        for head in heads:
            path = f'model.roi_head.{head}.num_classes'
            _put(tree, path, len(data.classes))
    lines += _data_lines(data, tree)
    lines += [f'{key} = {_code(value)}' for key, value in tree.items()]
    return '\n'.join(lines) + '\n'


# A child of a base restates lists, and variables that are used in them.
_AUGMENTED = """\
train_pipeline = [
    *_base_.train_pipeline[:2],
    *_base_.augmentations[augmentation],
    _base_.train_pipeline[-1],
]"""


def _data_lines(data: Data, tree: dict[str, Any]) -> list[str]:
    """Return the lines about data, and take what they say out of a tree."""
    lines, dataset = [], []
    if augmentation := tree.pop('augmentation', None):
        lines += [f'augmentation = {_code(augmentation)}', _AUGMENTED]
        dataset.append('pipeline=train_pipeline')
    if data.folder is not None:
        lines += [
            f'data_root = {_code(str(data.folder) + "/")}',
            f'classes = {_code(data.classes)}',
            'dataset = dict(data_root=data_root, '
            'metainfo=dict(classes=classes))',
            'val_dataloader = dict(dataset=dataset)',
            'test_dataloader = val_dataloader',
        ]
        dataset.append('**dataset')
    loader = tree.pop('train_dataloader', {})
    parts = [f'{key}={_code(value)}' for key, value in loader.items()]
    if dataset:
        parts.append(f'dataset=dict({", ".join(dataset)})')
    if parts:
        lines += [f'train_dataloader = dict({", ".join(parts)})', '']
    return lines


def _put(tree: dict[str, Any], path: str, value: Any) -> None:
    *keys, last = path.split('.')
    for key in keys:
        tree = tree.setdefault(key, {})
    tree[last] = value


def _code(value: Any, indent: str = '    ') -> str:
    """Return a value as a config has it; nothing else can come out."""
    if not isinstance(value, dict):
        return config_code(value)
    inner = (
        f'{indent}{key}={_code(item, indent + "    ")},'
        for key, item in value.items()
    )
    return '\n'.join(('dict(', *inner, f'{indent[:-4]})'))


def kind_faults(values: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return what needs no PyTorch to be seen wrong, by the settings' names.

    Args:
        values: Of all settings of the form, by name.
    """
    return {
        setting.name: [
            f'{values[setting.name]!r} must be {plain(setting.kind.words)}; '
            'give one'
        ]
        for setting in FORM
        if not setting.kind.accepts(values[setting.name])
    }


def plain(text: str) -> str:
    """Return a text without its marks of code."""
    return text.replace('`', '')
