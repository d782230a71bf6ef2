"""Defective annotations in training and evaluation, against MMDetection."""

import json
import math
import re
import runpy
from copy import deepcopy
from pathlib import Path

import numpy as np
import pycocotools.mask
import pytest
import torch
import trainings
from PIL import Image

import fbnetv3_mmdet  # noqa: F401  MMDetection needs its mmcv.ops

# isort: split
from mmdet.datasets import CocoDataset
from mmdet.evaluation import CocoMetric

from fbnetv3_mmdet.data.annotations import (
    Rules,
    check_annotations,
    describe,
    read_contents,
)
from fbnetv3_mmdet.data.annotations.findings import (
    BAD_MASK,
    RLE_MASK,
    WILD_MASK,
)
from fbnetv3_mmdet.data.annotations.values import mask_fault

pytestmark = pytest.mark.same_on_upstream

NAN, INF = math.nan, math.inf
WIDTH, HEIGHT = 100, 80
SQUARE = [60, 20, 90, 20, 90, 50, 60, 50]
RULES = {
    'train': Rules(),
    'masks': Rules(with_mask=True, polygons=True),
    'bitmaps': Rules(with_mask=True),
    'test': Rules(is_test=True, with_mask=True),
    'raw': Rules(is_test=True, with_mask=True, is_raw=True),
}


def good_set():
    """Three images with an object each, of classes 1, 1 and 2."""
    corners = [10, 10, 50, 10, 50, 50, 10, 50]
    box = dict(bbox=[10, 10, 40, 40], area=1600, iscrowd=0)
    return dict(
        images=[
            dict(id=i, file_name=f'{i}.png', width=WIDTH, height=HEIGHT)
            for i in (1, 2, 3)
        ],
        annotations=[
            dict(id=i, image_id=i, category_id=1 + i // 3, **box)
            | dict(segmentation=[[*corners]])
            for i in (1, 2, 3)
        ],
        categories=[dict(id=1, name='cat'), dict(id=2, name='dog')],
    )


def added(without=(), **fields):
    """Return a set with a fourth object, 9, in the first image."""
    data = good_set()
    entry = dict(
        data['annotations'][0],
        id=9,
        bbox=[60, 20, 30, 30],
        area=900,
        segmentation=[SQUARE],
    )
    entry |= fields
    for key in without:
        del entry[key]
    data['annotations'].append(entry)
    return data


def mask(*polygons):
    return added(segmentation=[*polygons])


def rle(counts, size=(HEIGHT, WIDTH)):
    return added(segmentation=dict(counts=counts, size=[*size]))


def image(without=(), **fields):
    """Return a set with a fourth image; the added object is in it."""
    data = added(image_id=4)
    entry = dict(data['images'][0], id=4, file_name='4.png') | fields
    for key in without:
        del entry[key]
    data['images'].append(entry)
    return data


def with_entry(section, entry):
    data = good_set()
    data[section].append(entry)
    return data


def with_gap():
    data = good_set()
    data['categories'][1]['id'] = data['annotations'][2]['category_id'] = 90
    return data


def renumbered(section, key, function):
    data = good_set()
    for entry in data[section]:
        entry[key] = function(entry[key])
    return data


# What becomes of a fourth object, or of the file: u used, c set aside as
# crowds are, - left out, x refused; in training without masks, with polygons
# and with bitmaps, and in evaluation by the data set's objects and by the
# file itself. RULES has the same order.
PLANTED = {
    'good': (added(), 'uuuuu'),
    'outside': (added(bbox=[500, 20, 30, 30]), '-----'),
    'partly outside': (added(bbox=[80, 20, 40, 30]), 'uuuuu'),
    'no width': (added(bbox=[60, 20, 0, 30]), '-----'),
    'negative height': (added(bbox=[60, 50, 30, -30]), '-----'),
    'under a pixel': (added(bbox=[60, 20, 0.5, 30]), '-----'),
    'NaN': (added(bbox=[NAN, 20, 30, 30]), '----x'),
    'NaN width': (added(bbox=[60, 20, NAN, 30]), '----x'),
    'infinite': (added(bbox=[60, 20, INF, 30]), 'xxxxx'),
    'infinite left': (added(bbox=[-INF, 20, 30, 30]), 'xxxxx'),
    'huge integer': (added(bbox=[10**400, 1, 5, 5]), 'xxxxx'),
    'texts': (added(bbox=['60', '20', '30', '30']), 'xxxxx'),
    'a text': (added(bbox=[60, 20, 30, 'x']), 'xxxxx'),
    'text as box': (added(bbox='abcd'), 'xxxxx'),
    'null as box': (added(bbox=None), 'xxxxx'),
    'no box': (added(without=['bbox']), 'xxxxx'),
    'three numbers': (added(bbox=[1, 2, 3]), 'xxxxx'),
    'area 0': (added(area=0), '-----'),
    'area NaN': (added(area=NAN), 'uuuuu'),
    'area text': (added(area='9'), 'xxxxx'),
    'no area': (added(without=['area']), 'xxxxx'),
    'id twice': (added(id=1), 'xxxxx'),
    'id text': (added(id='a'), 'uuuux'),
    'id 0': (added(id=0), 'uuuuu'),
    'no id': (added(without=['id']), 'xxxxx'),
    'image twice': (with_entry('images', good_set()['images'][0]), 'xxxxx'),
    'unknown image': (added(image_id=77), '-----'),
    'image as text': (added(image_id='1'), '-----'),
    'image as list': (added(image_id=[1]), 'xxxxx'),
    'no image id': (added(without=['image_id']), 'xxxxx'),
    'all ids texts': (
        renumbered('annotations', 'image_id', str)
        | dict(images=renumbered('images', 'id', str)['images']),
        '-----',
    ),
    'ids mixed': (
        with_entry('images', dict(good_set()['images'][0], id='x')),
        '---xx',
    ),
    'unknown category': (added(category_id=77), '-----'),
    'category as text': (added(category_id='1'), '-----'),
    'no category': (added(without=['category_id']), 'xxxxx'),
    'gaps': (with_gap(), '-----'),
    'category twice': (
        with_entry('categories', dict(id=1, name='h')),
        5 * 'x',
    ),
    'name twice': (with_entry('categories', dict(id=3, name='cat')), 'xxxxx'),
    'no name': (with_entry('categories', dict(id=3)), 'xxxxx'),
    'crowd': (added(iscrowd=1), 'ccccc'),
    'crowd, run-length': (
        added(iscrowd=1, segmentation=dict(counts=[8000], size=[80, 100])),
        'ccccc',
    ),
    'crowd as text': (added(iscrowd='no'), 'xxxxx'),
    'crowd null': (added(iscrowd=None), 'xxxxx'),
    'no iscrowd': (added(without=['iscrowd']), 'uuuux'),
    'ignore': (added(ignore=1), '-----'),
    'one point': (mask([60, 20]), 'uccxx'),
    'two points': (mask([60, 20, 90, 50]), 'uccxx'),
    'no points': (mask([]), 'uccxx'),
    'odd': (mask(SQUARE[:7]), 'uccuu'),
    'bad beside good': (mask([1, 2], SQUARE), 'uuuxx'),
    'good beside bad': (mask(SQUARE, [1, 2]), 'uuuxx'),
    'no mask': (added(without=['segmentation']), 'uxxxx'),
    'empty mask': (added(segmentation=[]), 'uxxxx'),
    'flat mask': (added(segmentation=SQUARE), 'uxxxx'),
    'text as mask': (added(segmentation='abcdef'), 'uxxxx'),
    'text in mask': (mask(['x', *SQUARE[1:]]), 'uxxxx'),
    'NaN in mask': (mask([NAN, *SQUARE[1:]]), 'uxxxx'),
    'infinite mask': (mask([*SQUARE[:7], INF]), 'uxxxx'),
    'endless mask': (mask([1e9, *SQUARE[1:]]), 'uxxxx'),
    'zigzag': (mask([0, 0, 100, 80] * 200), 'uxxxx'),
    'mask outside': (mask([500, 20, 590, 20, 590, 50]), 'uuuuu'),
    'runs': (rle([800, 800, 6400]), 'ucuuu'),
    'packed runs': (rle('PiPi0'), 'uxxxx'),  # not of 8000 pixels
    'runs of another size': (rle([0, 800], (8, 100)), 'uxxxx'),
    'runs too long': (rle([0, 80000]), 'uxxxx'),
    'negative runs': (rle([0, -5, 8005]), 'uxxxx'),
    'no runs': (added(segmentation=dict(size=[80, 100])), 'uxxxx'),
    'junk runs': (rle('~~~'), 'uxxxx'),
    'empty image': (with_entry('images', image()['images'][3]), '-----'),
    'only a crowd': (
        image()
        | dict(annotations=added(image_id=4, iscrowd=1)['annotations']),
        'ccccc',
    ),
    'only ignored': (
        image() | dict(annotations=added(image_id=4, ignore=1)['annotations']),
        '-----',
    ),
    'no file name': (image(without=['file_name']), 'xxxxx'),
    'no width of image': (image(without=['width']), 'xxxxx'),
    'width as text': (image(width='100'), 'xxxxx'),
    'width 0': (image(width=0), 'xxxxx'),
    'width NaN': (image(width=NAN), 'xxxxx'),
    'image is no object': (with_entry('images', 5), 'xxxxx'),
    'annotation is no object': (with_entry('annotations', 'x'), 'xxxxx'),
}


SOUND = {'good', 'all ids texts', 'mask outside'}


def write(data, folder):
    for i in range(1, 5):
        Image.new('RGB', (WIDTH, HEIGHT)).save(folder / f'{i}.png')
    file = folder / 'a.json'
    file.write_text(json.dumps(data))
    return str(file)


def build(file, with_mask=False, poly2mask=False):
    load = dict(
        type='LoadAnnotations',
        with_bbox=True,
        with_mask=with_mask,
        poly2mask=poly2mask,
    )
    return CocoDataset(
        ann_file=file,
        data_prefix=dict(img=file.rpartition('/')[0]),
        metainfo=dict(classes=('cat', 'dog')),
        pipeline=[
            dict(type='LoadImageFromFile'),
            load,
            dict(type='Resize', scale=(WIDTH, HEIGHT), keep_ratio=True),
            dict(type='PackDetInputs'),
        ],
    )


def objects_of(file, **masks):
    """Return how many objects and crowds MMDetection trains on."""
    dataset = build(file, **masks)
    samples = [dataset[i]['data_samples'] for i in range(len(dataset))]
    return tuple(
        sum(len(sample.get(key)) for sample in samples)
        for key in ('gt_instances', 'ignored_instances')
    )


def evaluate(file, is_raw):
    """Evaluate the good objects, and the square where it is, as found.

    Returns:
        AP of boxes, and of masks, at IoU 0.5.
    """
    dataset = build(file)
    metric = CocoMetric(
        ann_file=file if is_raw else None, metric=['bbox', 'segm']
    )
    metric.dataset_meta = dataset.metainfo
    for i in range(len(dataset)):
        info = dataset.get_data_info(i)
        boxes = [[10, 10, 50, 50]]
        if info['img_id'] in (1, '1'):
            boxes.append([60, 20, 90, 50])
        masks = torch.zeros(len(boxes), HEIGHT, WIDTH, dtype=torch.bool)
        for picture, (left, top, right, bottom) in zip(
            masks, boxes, strict=True
        ):
            picture[top:bottom, left:right] = True
        found = dict(
            bboxes=torch.tensor(boxes, dtype=torch.float),
            scores=torch.full((len(boxes),), 0.9),
            labels=torch.tensor([i == 2] * len(boxes), dtype=torch.long),
            masks=masks,
        )
        sample = dict(
            img_id=info['img_id'],
            ori_shape=(HEIGHT, WIDTH),
            pred_instances=found,
            instances=info['instances'],
        )
        metric.process({}, [sample])
    values = metric.evaluate(len(dataset))
    return values['coco/bbox_mAP_50'], values['coco/segm_mAP_50']


def test_every_planted_defect_is_found():
    found = set()
    for name, (data, _) in PLANTED.items():
        _, findings = check_annotations(data, RULES['masks'])
        found |= {name} if [*findings] else set()
    assert found == PLANTED.keys() - SOUND


@pytest.mark.parametrize('use', RULES)
@pytest.mark.parametrize('name', PLANTED)
def test_defect_is_used_left_out_or_refused(name, use, tmp_path, capsys):
    data, outcomes = PLANTED[name]
    outcome = outcomes[[*RULES].index(use)]
    rules, file = RULES[use], write(data, tmp_path)
    try:
        contents = read_contents(file, rules)
    except ValueError as error:
        assert outcome == 'x'
        assert re.fullmatch(
            f'{file!r} is broken: 1 x .+; correct .+', f'{error}'
        )
        return
    assert outcome != 'x'
    if use in ('test', 'raw'):  # MMDetection stops nowhere
        assert all(map(math.isfinite, evaluate(file, rules.is_raw)))
        return
    masks = dict(with_mask=rules.with_mask, poly2mask=not rules.polygons)
    crowds = int(outcome == 'c')
    assert objects_of(file, **masks) == (3 + (outcome == 'u'), crowds)
    is_new = len(data['annotations']) > 3
    if is_new and outcome == '-' and not data['annotations'][3].get('ignore'):
        (line, *_) = describe(file, contents)
        assert line.endswith('left out') and ': 1 x ' in line


# The mean of two classes, at 101 points of recall. Of the first, all are
# found; or one detection of three is false; or it is, and one is not found.
FOUND = (1 + 1) / 2
FALSE = ((51 + 50 * 2 / 3) / 101 + 1) / 2
MISSED = ((34 + 33 * 2 / 3) / 101 + 1) / 2


@pytest.mark.parametrize(
    'name, by_objects, by_file',
    [
        ('good', FOUND, FOUND),
        ('outside', FALSE, MISSED),
        ('no width', FALSE, MISSED),
        ('NaN', FALSE, None),
        ('area 0', FALSE, FOUND),
        ('ignore', FALSE, FOUND),
        ('id 0', FOUND, MISSED),
        ('no iscrowd', FOUND, None),
        ('unknown image', FALSE, FALSE),
        ('unknown category', FALSE, FALSE),
    ],
)
def test_evaluation_does_what_is_said(name, by_objects, by_file, tmp_path):
    file = write(PLANTED[name][0], tmp_path)
    assert evaluate(file, False)[0] == pytest.approx(by_objects, abs=1e-3)
    if by_file is None:
        with pytest.raises(ValueError, match='is broken: 1 x '):
            read_contents(file, RULES['raw'])
        return
    assert evaluate(file, True)[0] == pytest.approx(by_file, abs=1e-3)
    lines = describe(file, read_contents(file, RULES['raw']))
    told = 'counts as' in ''.join(lines)
    assert told == (by_file != by_objects)


def test_run_length_masks_are_those_of_pycocotools():
    rng = np.random.default_rng(0)
    for density in (0, 0.01, 0.5, 1):
        bitmap = np.asfortranarray(rng.random((300, 70)) < density, np.uint8)
        packed = pycocotools.mask.encode(bitmap)
        packed['counts'] = packed['counts'].decode()
        assert mask_fault(packed, 70, 300) is None
        assert mask_fault(packed, 70, 300, polygons=True) == RLE_MASK
        assert mask_fault(packed, 300, 70) == WILD_MASK
        packed['counts'] += '1'
        assert mask_fault(packed, 70, 300) == WILD_MASK
        packed['counts'] += 'o' * 100  # a number without end
        assert mask_fault(packed, 70, 300) == BAD_MASK


# Whole runs


def all_of(outcome):
    """Return one set with every defect of an outcome in training."""
    data = good_set()
    for name, (planted, outcomes) in PLANTED.items():
        if outcomes[0] != outcome or len(planted['annotations']) < 4:
            continue
        entry = deepcopy(planted['annotations'][3])
        if isinstance(entry, dict):
            number = len(data['annotations']) + 10
            if entry.get('id') == 9:
                entry['id'] = number
            if entry.get('image_id') == 4:
                continue
            entry['name'] = name
        data['annotations'].append(entry)
    return data


def run_config(folder, data, **options):
    cfg = trainings.small_config(folder)
    cfg.train_cfg.update(max_iters=2, val_interval=2)
    (folder / 'data').mkdir()
    file = write(data, folder / 'data')
    for split in ('train', 'val', 'test'):
        loader = cfg[f'{split}_dataloader']
        loader.dataset = dict(
            type='CocoDataset',
            ann_file=file,
            data_prefix=dict(img=str(folder / 'data')),
            metainfo=dict(classes=('cat', 'dog')),
            pipeline=loader.dataset.pipeline,
        )
        loader.num_workers = 0
        loader.persistent_workers = False
    cfg.model.roi_head.bbox_head.num_classes = 2
    cfg.merge_from_dict(options)
    return cfg


def test_training_counts_what_it_leaves_out_and_goes_on(tmp_path):
    cfg = run_config(tmp_path, all_of('-'))
    assert trainings.train(cfg) == 0
    lines = trainings.output_of(cfg).splitlines()
    first = next(i for i, line in enumerate(lines) if 'Iter(train)' in line)
    told = [
        re.search(r"a\.json': (\d+ x .*?) \(.*: left out$", line)
        for line in lines
    ]
    assert not any(told[first:])
    # each file has all the defects, and both splits have the file
    assert sorted(found[1] for found in told if found) == [
        '1 x area of zero or less',
        '1 x box outside its image',
        '1 x box under one pixel',
        '2 x box of zero or negative size',
        '2 x box with NaN',
        '2 x unknown category id',
        '2 x unknown image id',
    ]


@pytest.mark.parametrize('tool', ['train', 'test'])
def test_broken_file_ends_the_tools_in_one_line(tool, tmp_path, capsys):
    cfg = run_config(tmp_path, all_of('x'))
    cfg.dump(tmp_path / 'cfg.py')
    script = trainings.FOLDER.parents[1] / f'tools/{tool}.py'
    checkpoint = [str(tmp_path / 'none.pth')] * (tool == 'test')
    for path in checkpoint:  # of which nothing is read
        Path(path).touch()
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(script))['main'](
            [str(tmp_path / 'cfg.py'), *checkpoint]
        )
    assert caught.value.code == 2
    (line,) = [
        line
        for line in capsys.readouterr().err.splitlines()
        if line.startswith('error: ')
    ]
    file = str(tmp_path / 'data/a.json')
    assert line.startswith(
        f'error: {tool}_dataloader.dataset.ann_file={file!r} is broken: '
    )
    # one of them has no id, and one is no object
    assert re.search(r'5 x annotation entry of a wrong type \([^;]*#\d', line)
    assert '1 x duplicate annotation id (1.png #1)' in line
    assert '6 x box that is not four numbers (1.png #' in line
    assert '3 x infinite box (1.png #' in line
    assert '2 x area that is no number (1.png #' in line
    assert '2 x iscrowd that is neither 0 nor 1 (1.png #' in line
