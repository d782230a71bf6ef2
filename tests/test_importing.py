"""Import of labels: formats, mendings, the val part, what is written.

The boxes are those that were drawn: a format's text is made here from numbers
that stand beside it.
"""

import json
import multiprocessing
import os
import runpy
import signal
from pathlib import Path

import numpy as np
import pytest
from imports import (
    CAT,
    DOG,
    HEIGHT,
    ROOT,
    WIDTH,
    both,
    coco,
    main,
    picture,
    read,
    refused,
    run,
    save,
)
from mmengine.config import Config
from PIL import Image

from fbnetv3_mmdet.data.importing import writing
from fbnetv3_mmdet.data.importing.notes import Notes
from fbnetv3_mmdet.data.importing.tree import Tree

pytestmark = pytest.mark.same_on_upstream


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / 'source'
    folder.mkdir()
    return folder


def test_roboflow(source, capsys):
    for part, start in (('train', 1), ('valid', 5), ('test', 8)):
        data = coco(source, 3, folder=part, start=start)
        root = {'id': 0, 'name': 'pets', 'supercategory': 'none'}
        for item in data['categories']:
            item['supercategory'] = 'pets'
        data['categories'].insert(0, root)
        save(source, data, f'{part}/_annotations.coco.json')
    train, val = run(source)
    assert train == both('1.png', '2.png', '3.png')
    assert val == both('5.png', '6.png', '7.png')
    assert read(source.parent / 'out', 'test') == both(
        '8.png', '9.png', '10.png'
    )
    printed = capsys.readouterr().out
    assert "Roboflow's COCO" in printed.splitlines()[0]
    assert '1 x category without objects left out (pets)' in printed


def test_cvat(source):
    data = coco(source, 6, folder='images/default')
    save(source, data, 'annotations/instances_default.json')
    save(source, data, 'annotations/person_keypoints_default.json')
    train, val = run(source)
    assert len(val) == 2  # a fifth of six pictures, in whole ones
    assert sorted(train + val) == both(*(f'{i}.png' for i in range(1, 7)))


@pytest.mark.parametrize('sets', [True, False])
def test_voc(source, sets):
    for i in range(1, 7):
        picture(source / 'JPEGImages' / f'{i}.png', i)
        objects = ''.join(
            f'<object><name>{name}</name><bndbox><xmin>{x}</xmin>'
            f'<ymin>{y}</ymin><xmax>{x + w}</xmax><ymax>{y + h}.0</ymax>'
            '</bndbox></object>'
            for name, (x, y, w, h) in (('cat', CAT), ('dog', DOG))
        )
        file = source / 'Annotations' / f'{i}.xml'
        file.parent.mkdir(exist_ok=True)
        file.write_text(
            f'<annotation><filename>C:\\was\\elsewhere{i}.png</filename>'
            f'<size><width>0</width><height>0</height></size>{objects}'
            '</annotation>'
        )
    if sets:
        folder = source / 'ImageSets' / 'Main'
        folder.mkdir(parents=True)
        (folder / 'train.txt').write_text('1\n2\n3\n4\n')
        (folder / 'val.txt').write_text('5\n6\n')
    train, val = run(source)
    assert sorted(train + val) == both(*(f'{i}.png' for i in range(1, 7)))
    if sets:
        assert val == both('5.png', '6.png')


@pytest.mark.parametrize('kind', ['labelme', 'voc'])
def test_a_picture_of_a_train_is_in_no_part_for_its_name(source, kind):
    names = ['train-1', 'train_2', 'test 3', 'val', 'b', 'c', 'd', 'e', 'f']
    x, y, w, h = CAT
    for seed, name in enumerate(names):
        picture(source / f'{name}.png', seed)
        if kind == 'labelme':
            corners = [[x, y], [x + w, y + h]]
            shape = dict(label='cat', shape_type='rectangle', points=corners)
            value = dict(shapes=[shape], imagePath=f'{name}.png')
            save(source, value, f'{name}.json')
        else:
            (source / f'{name}.xml').write_text(
                f'<annotation><filename>{name}.png</filename><object><name>cat'
                f'</name><bndbox><xmin>{x}</xmin><ymin>{y}</ymin><xmax>{x + w}'
                f'</xmax><ymax>{y + h}</ymax></bndbox></object></annotation>'
            )
    train, val = run(source, '--val', '0.34')
    assert len(train) == 6 and len(val) == 3
    found = sorted(file for file, *_ in train + val)
    assert found == sorted(f'{name}.png' for name in names)


@pytest.mark.parametrize('polygons', [True, False])
@pytest.mark.parametrize('layout', ['yaml', 'names', 'labels'])
def test_yolo(source, layout, polygons):
    def text(box):
        x, y, w, h = (v / s for v, s in zip(box, (64, 48) * 2, strict=True))
        if polygons:
            return f'{x} {y} {x + w} {y} {x + w} {y + h} {x} {y + h}'
        return f'{x + w / 2} {y + h / 2} {w} {h}'

    folders = {'train': 'train/', 'val': 'valid/'} if layout == 'yaml' else {}
    for i in range(1, 7):
        part = folders.get('train' if i < 5 else 'val', '')
        picture(source / f'{part}images/{i}.png', i)
        file = source / f'{part}labels/{i}.txt'
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f'0 {text(CAT)}\n1 {text(DOG)}\n')
    if layout == 'yaml':
        (source / 'data.yaml').write_text(
            'train: ../train/images\nval: /content/x/valid/images\n'
            "names: {0: cat, 1: dog, 2: 'bird'}\n"
        )
    elif layout == 'names':
        (source / 'classes.txt').write_text('cat\ndog\n')
    named = ('--classes', 'cat', 'dog') if layout == 'labels' else ()
    train, val = run(source, *named)
    assert sorted(train + val) == both(*(f'{i}.png' for i in range(1, 7)))
    if layout == 'yaml':
        assert val == both('5.png', '6.png')


@pytest.mark.parametrize('kind', ['labelme', 'isat'])
def test_labelme_and_isat(source, kind):
    for i in range(1, 7):
        picture(source / f'{i}.png', i)
        (cx, cy, cw, ch), (x, y, w, h) = CAT, DOG
        polygon = [[x, y], [x + w, y], [x + w, y + h], [x, y + h]]
        corners = [[cx + cw, cy], [cx, cy + ch]]
        ends = [corners[1], [cx, cy], corners[0]]  # spans the cat's box
        if kind == 'labelme':
            rows = (('cat', 'rectangle', corners), ('dog', 'polygon', polygon))
            names = ('label', 'shape_type', 'points')
            shapes = [dict(zip(names, row, strict=True)) for row in rows]
            shapes.append({'label': 'dog', 'shape_type': 'point'})
            value = {'shapes': shapes, 'imagePath': f'..\\x\\{i}.png'}
            value |= {'imageWidth': WIDTH, 'imageHeight': HEIGHT}
        else:
            rows = (('cat', ends), ('dog', polygon))
            objects = [
                {'category': name, 'group': j, 'segmentation': points}
                for j, (name, points) in enumerate(rows, 1)
            ]
            value = {'info': {'name': f'{i}.png'}, 'objects': objects}
        save(source, value, f'{i}.json')
    train, val = run(source)
    assert sorted(train + val) == both(*(f'{i}.png' for i in range(1, 7)))


def test_mends_what_tools_write(source, capsys):
    data = coco(source, 5)
    images, items = data['images'], data['annotations']
    (source / 'images' / '1.png').rename(source / 'images' / 'é 1.png')
    images[0]['file_name'] = 'C:\\x\\images\\e\u0301%201.png'
    images[1] |= {'width': None, 'height': -1}
    images[2]['id'] = '3'
    items[0] |= {'area': None, 'iscrowd': None}
    items[1]['segmentation'] = items[1]['segmentation'][0]  # VIA
    items[2]['segmentation'].append([1, 2, 3, 4])
    items[3]['bbox'] = [32, 12, 24, 0]
    items[4]['bbox'] = [-4, 6, 28, 12]
    items[5]['area'] = 0
    items.append(dict(items[6], category_id=9))
    save(source, data)
    val = coco(source, 2, start=6)
    val['categories'] = [{'id': 7, 'name': 'dog'}, {'id': 3, 'name': 'cat'}]
    for item in val['annotations']:
        item['category_id'] = {1: 3, 2: 7}[item['category_id']]
    file = source / 'val.json'
    file.write_bytes(json.dumps(val).encode('utf-16'))
    train, val = run(source)
    expected = both('é 1.png', '2.png', '3.png', '4.png', '5.png')
    expected.remove(('2.png', 'dog', DOG))
    expected.remove(('3.png', 'cat', CAT))
    expected.append(('3.png', 'cat', [0, 6, 24, 12]))
    assert train == sorted(expected)
    assert val == both('6.png', '7.png')
    out = source.parent / 'out'
    data = json.loads((out / 'train.json').read_text())
    assert {(i['width'], i['height']) for i in data['images']} == {(64, 48)}
    areas = {a['area'] for a in data['annotations']}
    assert areas == {16 * 12, 24 * 30}
    assert all(len(a['segmentation']) == 1 for a in data['annotations'])
    printed = capsys.readouterr().out
    for line in (
        '1 x file name resolved to the file that exists',
        '1 x width and height derived (images/2.png)',
        '1 x scrap of a polygon left out',
        '1 x empty box left out',
        '1 x box cut at the edge of its picture',
        '2 x area derived',
        '1 x iscrowd derived',
        '1 x object of an unknown category left out (9)',
        '1 x file with a byte order mark read (val.json)',
        '1 x polygon that was no list of polygons mended',
    ):
        assert f'  {line}' in printed


def test_corners_are_asked_about(source, capsys):
    data = coco(source)
    for item in data['annotations']:
        x, y, w, h = item['bbox']
        item['bbox'] = [x + 6, y + 4, x + 6 + w, y + 4 + h]
        item['segmentation'] = []
    save(source, data)
    assert '--boxes xyxy or --boxes xywh' in refused(source, capsys)
    train, val = run(source, '--boxes', 'xyxy')
    assert {tuple(box) for *_, box in train + val} == {
        (14, 10, 16, 12),
        (38, 16, 24, 30),
    }


def test_xyxy_is_refused_where_it_does_not_fit(source, capsys):
    save(source, coco(source))
    line = refused(source, capsys, '--boxes', 'xyxy')
    assert 'leave --boxes out' in line


def test_fractions_become_pixels(source):
    data = coco(source)
    for item in data['annotations']:
        sides = (WIDTH, HEIGHT) * 2
        box = zip(item['bbox'], sides, strict=True)
        item['bbox'] = [value / side for value, side in box]
        item['area'] /= WIDTH * HEIGHT
    save(source, data)
    train, val = run(source)
    assert sorted(train + val) == both(*(f'{i}.png' for i in range(1, 5)))


@pytest.mark.parametrize(('top', 'white'), [(2232, 4095), (60000, None)])
def test_dim_greys_have_their_white_in_the_config(source, top, white):
    save(source, coco(source))
    for i, image in enumerate(sorted((source / 'images').iterdir())):
        grey = np.full((HEIGHT, WIDTH), 700, np.uint16)
        grey[i, : i + 1] = top if i == 1 else 900
        Image.fromarray(grey).save(image)
    run(source, '--val', '0.5')
    cfg = Config.fromfile(source.parent / 'out/mine.py')
    hook = cfg.default_hooks.whole_images
    assert hook.get('brightest') == white


def test_brush_masks_are_asked_about(source, capsys):
    data = coco(source)
    x, y, w, h = DOG
    counts = [x * HEIGHT + y, *([h, HEIGHT - h] * (w - 1)), h]
    counts.append(WIDTH * HEIGHT - sum(counts))
    for item in data['annotations'][1::2]:
        item['segmentation'] = {'counts': counts, 'size': [HEIGHT, WIDTH]}
        item |= {'iscrowd': 1, 'area': None}
    save(source, data)
    line = refused(source, capsys)
    assert '4 of 8 objects' in line and "'dog'" in line
    run(source, '--brush-masks')
    data = json.loads((source.parent / 'out' / 'train.json').read_text())
    dogs = [a for a in data['annotations'] if a['category_id'] == 2]
    assert {(a['iscrowd'], a['area']) for a in dogs} == {(0, w * h)}
    train, val = run(source, '--no-brush-masks', '--force')
    assert {label for _, label, _ in train + val} == {'cat'}


def test_val_has_a_share_of_each_class_and_no_copies(source):
    data = coco(source, 30)
    for item in data['annotations']:
        if item['category_id'] == 2 and item['image_id'] > 5:
            item['category_id'] = 1  # ten cats for a dog
    for i in range(1, 31):  # a brighter copy of each
        with Image.open(source / f'images/{i}.png') as image:
            bright = image.point(lambda v: 20 + v * 0.9)
            bright.save(source / f'images/{i + 30}.png')
        data['images'].append(
            dict(data['images'][i - 1], id=i + 30, file_name=f'{i + 30}.png')
        )
        data['annotations'] += [
            dict(a, id=0, image_id=i + 30)
            for a in data['annotations']
            if a['image_id'] == i
        ]
    save(source, data)
    train, val = run(source)
    scenes = [
        {(int(name[:-4]) - 1) % 30 for name, *_ in part}
        for part in (train, val)
    ]
    assert len(scenes[1]) == 6 and not scenes[0] & scenes[1]
    dogs = [sum(label == 'dog' for _, label, _ in p) for p in (train, val)]
    assert dogs == [8, 2]
    assert run(source, '--force') == (train, val)
    assert run(source, '--force', '--seed', '1') != (train, val)


def test_config_reads_from_any_folder(source, tmp_path, monkeypatch):
    """Also names that MMEngine or Python would take for something else."""
    data = coco(source)
    names = ["{{ fileDirname }}'\ud800", '犬\n"""\nimport os']
    for item, name in zip(data['categories'], names, strict=True):
        item['name'] = name
    save(source, data)
    run(source)
    monkeypatch.chdir('/')
    cfg = Config.fromfile(tmp_path / 'out' / 'mine.py')
    assert cfg.classes == tuple(names)
    assert cfg.train_dataloader.dataset.metainfo.classes == tuple(names)
    assert cfg.model.roi_head.bbox_head.num_classes == 2
    root = Path(cfg.val_dataloader.dataset.data_root)
    assert root == tmp_path / 'out'
    assert cfg.test_evaluator.get('ann_file') is None  # judged as loaded


def test_source_is_kept_and_out_too(source, capsys):
    save(source, coco(source))
    before = {f: f.read_bytes() for f in source.rglob('*') if f.is_file()}
    run(source)
    assert {f: f.read_bytes() for f in before} == before
    assert before.keys() == {f for f in source.rglob('*') if f.is_file()}
    assert 'give another folder, or --force' in refused(source, capsys)
    note = source.parent / 'out' / 'notes.txt'
    note.write_text('mine')
    assert "'notes.txt'" in refused(source, capsys, '--force')
    note.unlink()
    run(source, '--force')
    with pytest.raises(SystemExit):
        main([str(source), '--out', str(source / 'inner')])
    assert 'are in each other' in capsys.readouterr().err


@pytest.mark.parametrize('kind', [signal.SIGINT, signal.SIGTERM])
def test_interrupted_leaves_nothing(source, monkeypatch, kind):
    """The signal comes while the second picture is linked."""
    save(source, coco(source))
    if kind == signal.SIGINT:  # which is ignored where no terminal is
        before = signal.signal(kind, signal.default_int_handler)
    link, calls = os.link, []

    def interrupted(*args):
        calls.append(args)
        if len(calls) == 2:
            os.kill(os.getpid(), kind)
        link(*args)

    monkeypatch.setattr(writing.os, 'link', interrupted)
    try:
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            run(source)
    finally:
        if kind == signal.SIGINT:
            signal.signal(kind, before)
    assert os.listdir(source.parent) == ['source']


def test_what_a_killed_import_left_is_removed_by_the_next(source, monkeypatch):
    """Another folder of such a name is kept."""
    save(source, coco(source))
    killed = multiprocessing.get_context('fork').Process(
        target=run, args=(source,)
    )
    with monkeypatch.context() as patch:
        patch.setattr(
            writing.os, 'link', lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        )
        killed.start()
        killed.join()
    assert killed.exitcode == -signal.SIGKILL
    (left,) = {*os.listdir(source.parent)} - {'source'}
    other = source.parent / '.out.abcdefgh.part'
    other.mkdir()
    (other / 'notes.txt').touch()
    run(source)
    assert {*os.listdir(source.parent)} == {'source', 'out', other.name}


def test_nothing_outside_is_read_or_written(source, tmp_path, capsys):
    secret = tmp_path / 'secret.png'
    picture(secret, 99)
    data = coco(source, 6)
    (source / 'images' / '1.png').unlink()
    (source / 'images' / '1.png').symlink_to(secret)
    for i, name in enumerate(('../../secret.png', str(secret)), 1):
        data['images'][i]['file_name'] = name
    data['images'][3]['file_name'] = '../../images/4.png'  # is inside
    save(source, data)
    train, val = run(source)
    assert sorted(train + val) == both('4.png', '5.png', '6.png')
    assert {p.name for p in tmp_path.iterdir()} == {
        *('secret.png', 'source', 'out')
    }
    assert '3 x picture that is not there left out' in capsys.readouterr().out


def test_entities_of_xml_are_refused(source, capsys):
    picture(source / '1.png', 1)
    (source / '1.xml').write_text(
        '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>'
        '<annotation><filename>&b;</filename></annotation>'
    )
    assert 'declares a document type' in refused(source, capsys)


def test_names_of_yaml_that_never_end_are_refused(source, capsys):
    """Each list has the one before it ten times."""
    picture(source / 'images' / '1.png', 1)
    (source / 'labels').mkdir()
    (source / 'labels' / '1.txt').write_text('0 0.5 0.5 0.2 0.2')
    lists = [
        f'a{i}: &a{i} [{", ".join([f"*a{i - 1}"] * 10)}]' for i in range(1, 12)
    ]
    text = '\n'.join(['a0: &a0 [x]', *lists, 'names: *a11'])
    (source / 'data.yaml').write_text(text)
    assert 'no list of classes' in refused(source, capsys)


def test_two_kinds_of_labels_are_refused(source, capsys):
    save(source, coco(source))
    (source / '1.xml').write_text('<annotation/>')
    assert 'move one of them out' in refused(source, capsys)


def test_a_folder_without_labels_is_refused(source, capsys):
    picture(source / '1.png', 1)
    (source / 'README.txt').write_text('hello')
    assert 'no labels that are known' in refused(source, capsys)


def test_unknown_class_is_refused(source, capsys):
    save(source, coco(source))
    line = refused(source, capsys, '--classes', 'dog', 'bird')
    assert "'bird'" in line and "['cat', 'dog']" in line
    train, val = run(source, '--classes', 'dog')
    assert {label for _, label, _ in train + val} == {'dog'}


def test_a_name_means_the_nearest_picture(tmp_path):
    for file in ('a/1.png', 'b/1.png', 'b/2.png'):
        picture(tmp_path / file, 1)
    tree = Tree(tmp_path)
    assert tree.find('1.png', 'b').file == 'b/1.png'
    assert tree.find('x/a/1.png', 'b').file == 'a/1.png'
    assert tree.find('1.png') is None  # either
    assert tree.find('2.PNG').file == 'b/2.png'


def test_notes_are_safe_to_print():
    notes = Notes()
    notes.add('kind', '\x1b[31m' + 'x' * 99)
    (line,) = notes.lines
    assert line.isprintable() and len(line) < 99


def test_check_dataset_fixes_a_file(source, tmp_path, capsys):
    check = runpy.run_path(str(ROOT / 'tools' / 'check_dataset.py'))['main']
    data = coco(source)
    data['images'][0]['file_name'] = 'images%2F1.png'
    data['annotations'][0] |= {'area': None, 'image_id': '1'}
    data['categories'].append({'id': 3, 'name': 'bird'})
    save(source, data)
    file, fixed = source / 'train.json', tmp_path / 'fixed.json'
    before = file.read_bytes()
    images = str(source / 'images')
    check([str(file), images, '--fix', str(fixed)])
    assert '1 x area derived' in capsys.readouterr().out
    assert file.read_bytes() == before
    data = json.loads(fixed.read_text())
    assert data['images'][0]['file_name'] == '1.png'
    assert data['annotations'][0]['area'] == 16 * 12
    assert data['annotations'][0]['image_id'] == 1
    assert [c['name'] for c in data['categories']] == ['cat', 'dog']
    with pytest.raises(SystemExit):
        check([str(file), images, '--fix', str(file)])
    assert 'is not to be changed' in capsys.readouterr().err
