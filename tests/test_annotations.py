"""Defective annotations in training and evaluation, against MMDetection."""

import json
import math
import re
import runpy
import socket
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

from fbnetv3_mmdet.data import CheckedCocoDataset, CheckedCocoMetric
from fbnetv3_mmdet.data.annotations import (
    Defect,
    Rules,
    check_annotations,
    describe,
    read_contents,
    refuse,
)
from fbnetv3_mmdet.data.annotations.values import mask_fault

pytestmark = pytest.mark.same_on_upstream

NAN, INF = math.nan, math.inf
WIDTH, HEIGHT = 100, 80
SQUARE = [60, 20, 90, 20, 90, 50, 60, 50]
RULES = {
    'boxes': Rules(),
    'masks': Rules(with_mask=True),
    # of MMDetection's own types
    'train': Rules(is_raw=True),
    'polygons': Rules(is_raw=True, with_mask=True, polygons=True),
    'bitmaps': Rules(is_raw=True, with_mask=True),
    'test': Rules(is_raw=True, with_mask=True, learns=False),
    'raw': Rules(is_raw=True, with_mask=True, learns=False, by_file=True),
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


def of_all(**fields):
    data = good_set()
    for entry in data['annotations']:
        entry |= fields
    return data


def corners(scale=1):
    """Return a set whose boxes are corners; they leave its images."""
    data = good_set()
    for entry in data['annotations']:
        low, high = 45 * scale, 75 * scale
        entry |= dict(bbox=[low, low, high, high], area=(high - low) ** 2)
    return data


def merged():
    """Return a set with a second category 'cat', which has an object."""
    data = added(category_id=3)
    data['categories'].append(dict(id=3, name='cat'))
    return data


NONE = ' EMPTY_CLASS NOTHING'  # usable
# What becomes of a fourth object, or of the file: u used, c set aside as
# crowds are, - left out, x refused; in CheckedCocoDataset without and with
# masks, and in MMDetection's own: in training without masks, with polygons and
# with bitmaps, and in evaluation by the data set's objects and by the file
# itself. RULES has the same order. Then, which defects are found.
PLANTED = {
    'good': (added(), 'uuuuuuu', ''),
    'outside': (added(bbox=[500, 20, 30, 30]), '-------', 'OUTSIDE'),
    'partly outside': (added(bbox=[80, 20, 40, 30]), 'uuuuuuu', 'PARTLY'),
    'no width': (added(bbox=[60, 20, 0, 30]), '-------', 'EMPTY_BOX'),
    'negative height': (added(bbox=[60, 50, 30, -30]), '-------', 'EMPTY_BOX'),
    'under a pixel': (added(bbox=[60, 20, 0.5, 30]), '-------', 'SMALL_BOX'),
    'NaN': (added(bbox=[NAN, 20, 30, 30]), '------x', 'NAN_BOX'),
    'NaN width': (added(bbox=[60, 20, NAN, 30]), '------x', 'NAN_BOX'),
    'infinite': (added(bbox=[60, 20, INF, 30]), 'xxxxxxx', 'INFINITE_BOX'),
    'infinite left': (
        added(bbox=[-INF, 20, 30, 30]),
        'xxxxxxx',
        'INFINITE_BOX',
    ),
    'huge integer': (
        added(bbox=[10**400, 1, 5, 5]),
        'xxxxxxx',
        'INFINITE_BOX',
    ),
    'texts': (added(bbox=['60', '20', '30', '30']), 'xxxxxxx', 'BAD_BOX'),
    'a text': (added(bbox=[60, 20, 30, 'x']), 'xxxxxxx', 'BAD_BOX'),
    'text as box': (added(bbox='abcd'), 'xxxxxxx', 'BAD_BOX'),
    'null as box': (added(bbox=None), 'xxxxxxx', 'BAD_BOX'),
    'no box': (added(without=['bbox']), 'xxxxxxx', 'BAD_BOX'),
    'three numbers': (added(bbox=[1, 2, 3]), 'xxxxxxx', 'BAD_BOX'),
    'area 0': (added(area=0), 'uu-----', 'ZERO_AREA'),
    'area NaN': (added(area=NAN), 'uuuuuuu', 'NAN_AREA'),
    'area text': (added(area='9'), 'uuxxxxx', 'NO_AREA'),
    'no area': (added(without=['area']), 'uuxxxxx', 'NO_AREA'),
    'id twice': (added(id=1), 'xxxxxxx', 'ID_TWICE'),
    'id text': (added(id='a'), 'uuuuuux', 'TEXT_ID'),
    'id 0': (added(id=0), 'uuuuuuu', 'ZERO_ID'),
    'no id': (added(without=['id']), 'xxxxxxx', 'ENTRY'),
    'image twice': (
        with_entry('images', good_set()['images'][0]),
        'xxxxxxx',
        'IMAGE_ID_TWICE SAME_NAME',
    ),
    'unknown image': (added(image_id=77), '-------', 'UNKNOWN_IMAGE'),
    'image as text': (added(image_id='1'), 'xxxxxxx', 'IMAGE_AS_TEXT'),
    'image as list': (added(image_id=[1]), 'xxxxxxx', 'ENTRY'),
    'no image id': (added(without=['image_id']), 'xxxxxxx', 'ENTRY'),
    'all ids texts': (
        renumbered('annotations', 'image_id', str)
        | dict(images=renumbered('images', 'id', str)['images']),
        '-------',
        '',
    ),
    'ids mixed': (
        with_entry('images', dict(good_set()['images'][0], id='x')),
        'xx---xx',
        'MIXED_IDS SAME_NAME NO_OBJECTS',
    ),
    'unknown category': (added(category_id=77), '-------', 'UNKNOWN_CATEGORY'),
    'category as text': (
        added(category_id='1'),
        'xxxxxxx',
        'CATEGORY_AS_TEXT',
    ),
    'no category': (added(without=['category_id']), 'xxxxxxx', 'ENTRY'),
    'gaps': (with_gap(), '-------', 'GAPS'),
    'category twice': (
        with_entry('categories', dict(id=1, name='h')),
        'xxxxxxx',
        'CATEGORY_ID_TWICE',
    ),
    'name twice': (
        with_entry('categories', dict(id=3, name='cat')),
        '--xxxxx',
        'SAME_CATEGORY',
    ),
    'no name': (
        with_entry('categories', dict(id=3)),
        'xxxxxxx',
        'CATEGORY_ENTRY',
    ),
    'crowd': (added(iscrowd=1), 'ccccccc', 'CROWDS CROWD'),
    'crowd, run-length': (
        added(iscrowd=1, segmentation=dict(counts=[8000], size=[80, 100])),
        'ccccccc',
        'CROWDS CROWD',
    ),
    'crowd as text': (added(iscrowd='no'), 'xxxxxxx', 'BAD_CROWD CROWD'),
    'crowd null': (added(iscrowd=None), 'uuuuuux', 'NO_CROWD'),
    'no iscrowd': (added(without=['iscrowd']), 'uuuuuux', 'NO_CROWD'),
    'ignore': (added(ignore=1), '-------', 'IGNORED'),
    'one point': (mask([60, 20]), 'ucuccxx', 'NO_POLYGON'),
    'two points': (mask([60, 20, 90, 50]), 'ucuccxx', 'NO_POLYGON'),
    'no points': (mask([]), 'ucuccxx', 'NO_POLYGON'),
    'odd': (mask(SQUARE[:7]), 'uuuccuu', 'ODD_POLYGON'),
    'bad beside good': (mask([1, 2], SQUARE), 'uuuuuxx', 'PART_POLYGON'),
    'good beside bad': (mask(SQUARE, [1, 2]), 'uuuuuxx', 'PART_POLYGON'),
    'no mask': (added(without=['segmentation']), 'ucuxxxx', 'NO_MASK'),
    'empty mask': (added(segmentation=[]), 'ucuxxxx', 'NO_MASK'),
    'flat mask': (added(segmentation=SQUARE), 'uuuxxxx', 'FLAT_POLYGON'),
    'text as mask': (added(segmentation='abcdef'), 'ucuxxxx', 'BAD_MASK'),
    'text in mask': (mask(['x', *SQUARE[1:]]), 'ucuxxxx', 'BAD_MASK'),
    'NaN in mask': (mask([NAN, *SQUARE[1:]]), 'ucuxxxx', 'WILD_MASK'),
    'infinite mask': (mask([*SQUARE[:7], INF]), 'ucuxxxx', 'WILD_MASK'),
    'endless mask': (mask([1e9, *SQUARE[1:]]), 'ucuxxxx', 'WILD_MASK'),
    'zigzag': (mask([0, 0, 100, 80] * 200), 'ucuxxxx', 'WILD_MASK'),
    'mask outside': (mask([500, 20, 590, 20, 590, 50]), 'uuuuuuu', ''),
    'runs': (rle([800, 800, 6400]), 'uuucuuu', 'RLE_MASK'),
    'packed runs': (rle('PiPi0'), 'ucuxxxx', 'WILD_MASK'),
    'runs of another size': (rle([0, 800], (8, 100)), 'ucuxxxx', 'WILD_MASK'),
    'runs too long': (rle([0, 80000]), 'ucuxxxx', 'WILD_MASK'),
    'negative runs': (rle([0, -5, 8005]), 'ucuxxxx', 'BAD_MASK'),
    'no runs': (
        added(segmentation=dict(size=[80, 100])),
        'ucuxxxx',
        'BAD_MASK',
    ),
    'junk runs': (rle('~~~'), 'ucuxxxx', 'BAD_MASK'),
    'empty image': (
        with_entry('images', image()['images'][3]),
        '-------',
        'NO_OBJECTS',
    ),
    'only a crowd': (
        image()
        | dict(annotations=added(image_id=4, iscrowd=1)['annotations']),
        'ccccccc',
        'CROWDS ONLY_IGNORED CROWD',
    ),
    'only ignored': (
        image() | dict(annotations=added(image_id=4, ignore=1)['annotations']),
        '-------',
        'ONLY_IGNORED IGNORED',
    ),
    'no file name': (image(without=['file_name']), 'xxxxxxx', 'NO_NAME'),
    'no width of image': (image(without=['width']), 'uuxxxxx', 'NO_SIZE'),
    'width as text': (image(width='100'), 'uuxxxxx', 'NO_SIZE'),
    'width 0': (image(width=0), 'uuxxxxx', 'NO_SIZE'),
    'width NaN': (image(width=NAN), 'uuxxxxx', 'NO_SIZE'),
    'image is no object': (with_entry('images', 5), 'xxxxxxx', 'IMAGE_ENTRY'),
    'annotation is no object': (
        with_entry('annotations', 'x'),
        'xxxxxxx',
        'ENTRY',
    ),
    'name twice, both used': (merged(), 'uuxxxxx', 'SAME_CATEGORY'),
    'crowds': (
        of_all(iscrowd=1),
        'xxxxxxx',
        'CROWD CROWDS ONLY_IGNORED' + NONE,
    ),
    'corners': (corners(), 'xxxxxxx', 'CORNERS PARTLY'),
    'corners by areas': (corners(0.5), 'xxxxxxx', 'CORNERS'),
    'fractions': (
        of_all(bbox=[0.1, 0.1, 0.4, 0.4]),
        'xxxxxxx',
        'FRACTIONS SMALL_BOX NONE_USABLE' + NONE,
    ),
    'box twice': (
        added(bbox=[10, 10, 40, 40]),
        'uuuuuuu',
        'SAME_BOX NEAR_BOX',
    ),
    'box nearly twice': (added(bbox=[10, 10, 40, 41]), 'uuuuuuu', 'NEAR_BOX'),
    'class without objects': (
        with_entry('categories', dict(id=3, name='hen')),
        'xxxxx--',
        'EMPTY_CLASS',
    ),
    'no objects': (
        good_set() | dict(annotations=[]),
        'xxxxx--',
        'NO_OBJECTS' + NONE,
    ),
    'file name twice': (image(file_name='1.png'), 'uuuuuuu', 'SAME_NAME'),
    'file name with dots': (
        image(file_name='a/../4.png'),
        'uuuuuuu',
        'NAME_LEAVES',
    ),
    'all in unknown images': (
        of_all(image_id=9),
        'xxxxxxx',
        'UNKNOWN_IMAGE NO_OBJECTS' + NONE,
    ),
}


def write(data, folder):
    (folder / 'a').mkdir(exist_ok=True)
    for i in range(1, 5):
        Image.new('RGB', (WIDTH, HEIGHT)).save(folder / f'{i}.png')
    file = folder / 'a.json'
    file.write_text(json.dumps(data))
    return str(file)


def build(file, with_mask=False, poly2mask=True, kind=CocoDataset, **options):
    load = dict(
        type='LoadAnnotations',
        with_bbox=True,
        with_mask=with_mask,
        poly2mask=poly2mask,
    )
    return kind(
        ann_file=file,
        data_prefix=dict(img=file.rpartition('/')[0]),
        metainfo=dict(classes=('cat', 'dog')),
        pipeline=[
            dict(type='LoadImageFromFile'),
            load,
            dict(type='Resize', scale=(WIDTH, HEIGHT), keep_ratio=True),
            dict(type='PackDetInputs'),
        ],
        **options,
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


# which go with what stops a file
SEEN = {'CROWDS'}


def found_in(data, rules):
    _, findings = check_annotations(data, rules)
    return {finding.defect.name for finding in findings}, refuse(findings)


@pytest.mark.parametrize('name', PLANTED)
def test_defects_are_found_and_no_others(name):
    data, _, words = PLANTED[name]
    rules = Rules(with_mask=True, polygons=True)
    assert found_in(data, rules)[0] - SEEN == {*words.split()} - SEEN


def test_every_defect_is_planted():
    planted = {
        word for _, _, words in PLANTED.values() for word in words.split()
    }
    elsewhere = {'OTHER_CLASS', 'SMALL_IMAGE', 'UNLABELLED'}
    of_files = [*Defect][[*Defect].index(Defect.MISSING) :]
    of_files = {defect.name for defect in of_files}
    assert planted == {d.name for d in Defect} - elsewhere - of_files


def detections(data, dataset, index):
    """Return the boxes of the JSON, cut to the image, as found."""
    info = dataset.get_data_info(index)
    names = {c['id']: c['name'] for c in data['categories']}
    boxes, labels = [], []
    for entry in data['annotations']:
        if entry['image_id'] == info['img_id']:
            x, y, width, height = entry['bbox']
            box = np.clip(
                [x, y, x + width, y + height], 0, 2 * [WIDTH, HEIGHT]
            )
            boxes.append(box.tolist())
            name = names.get(entry['category_id'], 'cat')
            labels.append(dataset.metainfo['classes'].index(name))
    found = dict(
        bboxes=torch.tensor(boxes, dtype=torch.float).reshape(-1, 4),
        scores=torch.full((len(boxes),), 0.9),
        labels=torch.tensor(labels, dtype=torch.long),
    )
    return dict(
        img_id=info['img_id'],
        ori_shape=(HEIGHT, WIDTH),
        pred_instances=found,
        instances=info['instances'],
    )


def evaluate_all(data, file, **options):
    """Return the AP of detecting each box of the JSON where it is."""
    dataset = build(file, kind=CheckedCocoDataset, test_mode=True, **options)
    metric = CheckedCocoMetric()
    metric.dataset_meta = dataset.metainfo
    for i in range(len(dataset)):
        metric.process({}, [detections(data, dataset, i)])
    return metric.evaluate(len(dataset))['coco/bbox_mAP']


@pytest.mark.parametrize('use', ['boxes', 'masks'])
@pytest.mark.parametrize('name', PLANTED)
def test_training_and_evaluation_take_the_same(name, use, tmp_path):
    data, outcomes, _ = PLANTED[name]
    outcome = outcomes[[*RULES].index(use)]
    file = write(data, tmp_path)
    options = dict(kind=CheckedCocoDataset, with_mask=use == 'masks')
    try:
        number = objects_of(file, **options)
    except ValueError as error:
        assert outcome == 'x'
        assert re.match(f'{file!r} is broken: \\d x ', f'{error}')
        return
    assert number == (3 + (outcome == 'u'), int(outcome == 'c'))
    if outcome in 'uc':  # what is left out is found in vain
        options.pop('kind')
        assert evaluate_all(data, file, **options) == 1


@pytest.mark.parametrize('use', [*RULES][2:])
@pytest.mark.parametrize('name', PLANTED)
def test_mmdetection_does_what_is_said(name, use, tmp_path, capsys):
    data, outcomes, _ = PLANTED[name]
    outcome = outcomes[[*RULES].index(use)]
    rules, file = RULES[use], write(data, tmp_path)
    try:
        contents = read_contents(file, rules)
    except ValueError as error:
        assert outcome == 'x'
        assert re.match(f'{file!r} is broken: \\d x ', f'{error}')
        return
    assert outcome != 'x'
    if not rules.learns:  # MMDetection stops nowhere
        assert all(map(math.isfinite, evaluate(file, rules.by_file)))
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
        assert mask_fault(packed, 70, 300, polygons=True) is Defect.RLE_MASK
        assert mask_fault(packed, 300, 70) is Defect.WILD_MASK
        packed['counts'] += '1'
        assert mask_fault(packed, 70, 300) is Defect.WILD_MASK
        packed['counts'] += 'o' * 100  # a number without end
        assert mask_fault(packed, 70, 300) is Defect.BAD_MASK


def judge_in_rank(rank, port, file, queue):
    place = f'tcp://127.0.0.1:{port}'
    torch.distributed.init_process_group(
        'gloo', init_method=place, rank=rank, world_size=2
    )
    try:  # only the first process can read it
        contents = read_contents(file if rank == 0 else 'nowhere', Rules())
        queue.put(len(contents.content.boxes))
    except ValueError as error:
        queue.put(str(error))
    torch.distributed.barrier()


@pytest.mark.parametrize('name, told', [('good', 4), ('texts', 'is broken')])
def test_the_first_process_judges_for_all(name, told, tmp_path):
    file = write(PLANTED[name][0], tmp_path)
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    queue = trainings.PROCESSES.Queue()
    processes = [
        trainings.PROCESSES.Process(
            target=judge_in_rank, args=(rank, port, file, queue)
        )
        for rank in (0, 1)
    ]
    for process in processes:
        process.start()
    first, second = queue.get(timeout=100), queue.get(timeout=100)
    for process in processes:
        trainings.finish(process)
    assert first == second
    assert first == told or told in str(first)


# Whole runs


def all_of(outcome):
    """Return one set with every defect of an outcome in training."""
    data = good_set()
    for name, (planted, outcomes, _) in PLANTED.items():
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
            type='CheckedCocoDataset',
            ann_file=file,
            data_prefix=dict(img=str(folder / 'data')),
            metainfo=dict(classes=('cat', 'dog')),
            pipeline=loader.dataset.pipeline,
        )
        loader.num_workers = 0
        loader.persistent_workers = False
    cfg.val_evaluator.type = 'CheckedCocoMetric'
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
        '1 x box outside its image',
        '1 x box under one pixel',
        '1 x unknown category id',
        '1 x unknown image id',
        '2 x box of zero or negative size',
        '2 x box with NaN',
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
    assert '1 x iscrowd that is neither 0 nor 1 (1.png #' in line
