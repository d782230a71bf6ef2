"""Hostile checkpoints and annotation files, given to every tool."""

import codecs
import functools
import json
import os
import pickle
import runpy
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import trainings
from mmdet.registry import MODELS
from mmengine.registry import init_default_scope
from PIL import Image
from random_detector import CONFIG, random_weights
from test_checkpoints_reading import Call, hostile

from fbnetv3_mmdet import files
from fbnetv3_mmdet.checkpoints import read_checkpoint
from fbnetv3_mmdet.data.annotations import Rules, read_contents

TOOLS = Path(__file__).resolve().parents[1] / 'tools'
MEGABYTE = 1 << 20
needs_limit = pytest.mark.skipif(
    sys.platform != 'linux', reason='needs the limit of Linux'
)


def call(tool, *argv):
    runpy.run_path(str(TOOLS / f'{tool}.py'))['main']([*map(str, argv)])


def error_of(capsys, tool, *argv):
    """Return the line with which a tool gives up, with status 2."""
    with pytest.raises(SystemExit) as caught:
        call(tool, *argv)
    assert caught.value.code == 2
    printed = capsys.readouterr()
    assert 'Traceback' not in printed.err + printed.out
    (line,) = [
        line for line in printed.err.splitlines() if line.startswith('error: ')
    ]
    return line


def coco(folder, names):
    """Return the file of a set of pictures of these names, a box in each."""
    data = dict(
        images=[
            dict(id=i, file_name=name, width=64, height=48)
            for i, name in enumerate(names, 1)
        ],
        annotations=[
            dict(id=i, image_id=i, category_id=1, bbox=[8, 8, 24, 24])
            | dict(area=576, iscrowd=0)
            for i, _ in enumerate(names, 1)
        ],
        categories=[dict(id=1, name='cat')],
    )
    file = folder / 'a.json'
    file.write_text(json.dumps(data))
    return file


def coco_config(folder, file):
    cfg = trainings.small_config(folder)
    cfg.train_cfg.update(max_iters=1, val_interval=1)
    for split in ('train', 'val', 'test'):
        loader = cfg[f'{split}_dataloader']
        loader.dataset = dict(
            type='CocoDataset',
            ann_file=str(file),
            data_prefix=dict(img=str(folder / 'images')),
            metainfo=dict(classes=('cat',)),
            pipeline=loader.dataset.pipeline,
        )
    cfg.model.roi_head.bbox_head.num_classes = 1
    return cfg


@pytest.fixture
def picture(tmp_path):
    file = tmp_path / 'images/a.png'
    file.parent.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    Image.fromarray(noise).save(file)
    return file


# Checkpoints


@pytest.mark.parametrize(
    'tool, argv',
    [
        ('train', ['CONFIG', '--resume', 'FILE', '--work-dir', 'OUT']),
        (
            'train',
            ['CONFIG', '--work-dir', 'OUT', '--cfg-options', 'load_from=FILE'],
        ),
        ('test', ['CONFIG', 'FILE', '--work-dir', 'OUT']),
        ('predict', [CONFIG, 'FILE', 'PICTURE', '--out-dir', 'OUT']),
        ('export', [CONFIG, 'FILE', 'OUT.onnx']),
        ('convert_checkpoint', ['FILE', 'OUT.pth']),
        ('convert_checkpoint', ['FILE', '--check', CONFIG]),
    ],
    ids=lambda value: (
        ' '.join(value[1:3]) if isinstance(value, list) else value
    ),
)
def test_no_tool_runs_a_checkpoint(tool, argv, picture, tmp_path, capsys):
    ran, file = tmp_path / 'ran', tmp_path / 'hostile.pth'
    torch.save(hostile(ran)['hidden'], file)
    cfg = coco_config(tmp_path, coco(tmp_path, ['a.png']))
    cfg.dump(tmp_path / 'cfg.py')
    names = dict(
        CONFIG=tmp_path / 'cfg.py',
        FILE=file,
        PICTURE=picture,
        OUT=tmp_path / 'out',
    )
    argv = [str(word) for word in argv]
    for name, value in names.items():
        argv = [word.replace(name, str(value)) for word in argv]
    line = error_of(capsys, tool, *argv)
    assert str(file) in line and 'nothing in it was run' in line
    assert not ran.exists()
    with open(file, 'rb') as content:
        assert zipfile.is_zipfile(content)
    pickle.loads(pickle.dumps(hostile(ran)['hidden']))
    assert ran.exists()  # so it would have been


def compressed(path, num_bytes):
    """Write a checkpoint of zeros, a thousandth of their size."""
    whole = path.with_suffix('.whole')
    torch.save(dict(state_dict=dict(a=torch.zeros(num_bytes // 4))), whole)
    with (
        zipfile.ZipFile(whole) as source,
        zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as target,
    ):
        for name in source.namelist():
            target.writestr(name, source.read(name))
    whole.unlink()
    assert path.stat().st_size < num_bytes / 500


def doubling(path, num_bytes):
    """Write a pickle whose calls double a text again and again."""
    text, size = b'0' * 1000, 1000
    while size < num_bytes:
        text, size = Call(codecs.encode, text, 'hex'), 2 * size
    torch.save(dict(state_dict=text), path)


def refuse(read, path, megabytes):
    """Read a file with so much memory free, in a process of its own.

    One that has run for long may have enough that it has freed.
    """
    process = trainings.PROCESSES.Process(
        target=_refuse, args=(read, str(path), megabytes)
    )
    process.start()
    process.join(100)
    assert process.exitcode == 0


def _refuse(read, path, megabytes):
    files.SHARE = megabytes * MEGABYTE / files.free_memory()
    with pytest.raises(ValueError) as caught:
        read(path)
    message = str(caught.value)
    assert repr(path) in message and '\n' not in message
    assert 'is too large for the memory that is free' in message


@needs_limit
@pytest.mark.same_on_upstream  # an older torch blames the file
@pytest.mark.parametrize('bomb', [compressed, doubling])
def test_checkpoint_takes_no_memory_without_end(bomb, tmp_path):
    path = tmp_path / 'bomb.pth'
    bomb(path, 300 * MEGABYTE)
    refuse(read_checkpoint, path, 150)


def test_limit_leaves_room_for_checkpoints(tmp_path):
    path = tmp_path / 'good.pth'
    torch.save(dict(state_dict=random_weights()), path)
    assert len(read_checkpoint(str(path))['state_dict']) == 295


# Annotation files


@pytest.mark.parametrize(
    'text, fault',
    [
        ('[' * 10**7, 'is nested too deeply'),
        ('{"a":' * 10**6, 'is nested too deeply'),
        ('{"images": [{"id": ' + '9' * 10**6 + '}]}', 'is not JSON'),
    ],
    ids=['lists', 'objects', 'number'],
)
@pytest.mark.parametrize('tool', ['train', 'test', 'check_dataset'])
def test_file_that_is_no_data_set_is_one_line(
    tool, text, fault, picture, tmp_path, capsys
):
    file = tmp_path / 'a.json'
    file.write_text(text)
    argv = [file]
    if tool != 'check_dataset':
        coco_config(tmp_path, file).dump(tmp_path / 'cfg.py')
        argv = [tmp_path / 'cfg.py'] + [picture] * (tool == 'test')
    assert f'{str(file)!r} {fault}' in error_of(capsys, tool, *argv)


@needs_limit
@pytest.mark.same_on_upstream
def test_file_takes_no_memory_without_end(tmp_path):
    file = tmp_path / 'a.json'
    file.write_text('[' + '[],' * 2_000_000 + '[]]')  # 56 bytes a list
    refuse(functools.partial(read_contents, rules=Rules()), file, 60)


@pytest.mark.same_on_upstream
def test_names_lead_no_tool_out_of_its_folder(picture, tmp_path):
    outside = tmp_path / 'outside'
    outside.mkdir()
    for name in ('b.png', 'c.png'):
        (outside / name).write_bytes(picture.read_bytes())
    names = ['a.png', '../outside/b.png', str(outside / 'c.png')]
    cfg = coco_config(tmp_path, coco(tmp_path, names))
    cfg.dump(tmp_path / 'cfg.py')
    weights = tmp_path / 'weights.pth'
    init_default_scope('mmdet')
    state = MODELS.build(cfg.model).state_dict()
    torch.save(dict(state_dict=state), weights)
    before = files_in(tmp_path)
    out = tmp_path / 'out'
    call(
        'test',
        *(tmp_path / 'cfg.py', weights, '--work-dir', out),
        *('--show-dir', 'shown', '--out', out / 'a.pkl'),
    )
    new = files_in(tmp_path) - before
    assert {file.relative_to(tmp_path).parts[0] for file in new} == {'out'}
    shown = [file.name for file in new if file.parent.name == 'shown']
    assert sorted(shown) == ['a.png', 'b.png', 'c.png']


def files_in(folder):
    return {
        Path(place, name)
        for place, _, names in os.walk(folder)
        for name in names
    }
