"""data.doctor: annotation files, and what training makes of them."""

import contextlib
import io
import json
import math
import sys

import pytest

import fbnetv3_mmdet  # noqa: F401  MMDetection needs its mmcv.ops

# isort: split
from mmdet.datasets import CocoDataset
from PIL import Image

from fbnetv3_mmdet.data import doctor
from fbnetv3_mmdet.data.annotations.findings import (
    ERROR,
    KINDS,
    NOTE,
    PART_POLYGON,
    Place,
    show,
)
from fbnetv3_mmdet.data.annotations.rules import Rules
from fbnetv3_mmdet.files import memory_limit

TRIANGLE = [[10, 10, 30, 10, 30, 30]]
NAN, INF = math.nan, math.inf


def good_set():
    """Two images of 100 x 80 px with an object each."""
    return dict(
        images=[
            dict(id=i, file_name=f'{i}.png', width=100, height=80)
            for i in (1, 2)
        ],
        annotations=[
            dict(
                id=i,
                image_id=i,
                category_id=i,
                bbox=[10, 10, 20, 20],
                area=400,
                iscrowd=0,
                segmentation=TRIANGLE,
            )
            for i in (1, 2)
        ],
        categories=[dict(id=1, name='cat'), dict(id=2, name='dog')],
    )


def check(data, **rules):
    """Return the counts by kind, the findings and the content."""
    content, findings = doctor.check_annotations(data, Rules(**rules))
    return {f.kind: f.count for f in findings}, findings, content


def add(data, without=(), **fields):
    """Add an object of image 1, far from those that are there."""
    number = len(data['annotations']) + 1
    entry = dict(
        data['annotations'][0],
        id=number,
        bbox=[number, 40, 12, 20],
    )
    entry |= fields
    for key in without:
        del entry[key]
    data['annotations'].append(entry)


def add_image(data, **fields):
    """Add an image of 100 x 80 px with no object."""
    number = len(data['images']) + 1
    entry = dict(id=number, file_name=f'{number}.png', width=100, height=80)
    data['images'].append(entry | fields)


def test_good_set_has_nothing():
    counts, findings, content = check(good_set(), with_mask=True)
    assert counts == {} and not findings.harmful
    assert content.names == ('cat', 'dog')
    assert content.boxes.tolist() == [[10, 10, 20, 20]] * 2
    assert content.labels.tolist() == [0, 1]
    assert content.sizes.tolist() == [[100, 80]] * 2


BAD_BOXES = {
    'box that is not four numbers': (
        ['a', 1, 2, 3],
        ['1', '1', '9', '9'],
        [1, 2, 3],
        [1, 2, 3, 4, 5],
        [],
        None,
        [True, 1, 2, 3],
        'abcd',
        {'x': 1},
    ),
    'box with NaN': ([NAN, 1, 5, 5], [1, 1, NAN, 5]),
    'infinite box': ([1, 1, INF, 5], [10**400, 1, 5, 5]),
    'box of zero or negative size': ([9, 9, 0, 5], [9, 9, 5, -5]),
    'box under one pixel': ([9, 9, 0.5, 5],),
    'box outside its image': ([100, 1, 5, 5], [1, -9, 5, 9], [500, 1, 5, 5]),
    'box partly outside its image': ([96, 1, 5, 5], [-1, 1, 5, 5]),
}


def test_every_planted_defect_of_boxes_is_counted():
    data = good_set()
    for boxes in BAD_BOXES.values():
        for box in boxes:
            add(data, bbox=box)
    counts, _, content = check(data)
    assert counts == {kind: len(boxes) for kind, boxes in BAD_BOXES.items()}
    assert len(content.boxes) == 2 + 2  # the good ones, those partly inside


def test_every_planted_defect_of_annotations_is_counted():
    data = good_set()
    add(data, id=1)
    add(data, bbox=[10, 10, 20, 20])
    add(data, image_id=2, category_id=2, bbox=[10, 10, 20, 21])  # IoU .95
    add(data, image_id=2, category_id=2, bbox=[10, 10, 20, 23])  # IoU .87
    add(data, image_id=2, category_id=1, bbox=[10, 10, 20, 20])
    add(data, category_id=7)
    add(data, category_id='1')
    add(data, image_id=7)
    add(data, iscrowd=1)
    add(data, ignore=1, bbox=None)
    add(data, area=None)
    add(data, without=['area'])
    add(data, area=0)
    add(data, area=NAN)
    add(data, segmentation=[[1, 2, 3, 4]])
    add(data, segmentation=[[1, 2, 3, 4, 5, 6, 7]])
    add(data, segmentation=[*TRIANGLE, []])
    add(data, segmentation='abc')
    add(data, segmentation=dict(counts=1, size=[80, 100]))
    add(data, segmentation=[[1, 2, 3, 4, 5, 'x']])
    add(data, segmentation=[])
    add(data, without=['id'])
    add(data, image_id=[1])
    data['annotations'].append('text')
    counts, findings, content = check(data)
    assert counts == {
        'duplicate annotation id': 1,
        'duplicate box': 1,
        # the box of 23 px overlaps that of 21 px by 21 / 23 = 0.91
        'nearly the same box twice': 2,
        'unknown category id': 2,
        'unknown image id': 1,
        'crowd': 1,
        'object with ignore': 1,
        'area that is no number': 2,
        'area of zero or less': 1,
        'area that is NaN or infinite': 1,
        'polygon of too few points': 1,
        'polygon of odd length': 1,
        'broken polygon beside good ones': 1,
        'segmentation of a wrong type': 3,
        'annotation entry of a wrong type': 3,
    }
    twins = next(f for f in findings if f.kind.startswith('nearly'))
    assert str(twins.places[0]) == '2.png #5 (as #2)'
    # the good two, the doubled id, three near twins, the area, 7 masks
    assert len(content.boxes) == 2 + 1 + 3 + 1 + 7


def test_every_planted_defect_of_images_is_counted():
    data = good_set()
    add_image(data)
    add_image(data)
    add(data, image_id=4, iscrowd=1)
    add_image(data)
    add(data, image_id=5, bbox=[500, 1, 5, 5])
    for name in (None, 5, ' ', 'a\0b'):
        add_image(data, file_name=name)
    for name in ('../x.png', 'a/../../x', '/x.png', 'C:\\x.png', '\\x.png'):
        add_image(data, file_name=name)
    for width in (0, -5, None, '100', NAN, INF, True):
        add_image(data, width=width)
    add_image(data, file_name='1.png')
    add_image(data, id=1, file_name='other.png')
    add_image(data, width=31)
    data['images'] += [5, dict(file_name='x'), dict(id=[1], file_name='x')]
    for image in data['images'][5:-3]:
        if image['id'] != 1:
            add(data, image_id=image['id'], bbox=[5, 5, 12, 20])
    counts, _, content = check(data, min_size=32)
    assert counts == {
        'image without objects': 1,
        'image with only ignored objects': 1,
        'image of whose objects none is usable': 1,
        'crowd': 1,
        'box outside its image': 1,
        'missing file name': 4,
        'file name leaves the folder': 5,
        'image size in JSON is wrong': 7,
        'duplicate file name': 1,
        'duplicate image id': 1,
        'image below min_size': 1,
        'image entry of a wrong type': 3,
    }
    # of the good ones, without a name or size, with the doubled name
    assert len(content.boxes) == 2 + 4 + 5 + 1


def test_every_planted_defect_of_categories_is_counted():
    data = good_set()
    data['categories'] += [
        dict(id=4, name='cow'),
        dict(id=4, name='hen'),
        dict(id=3, name='cat'),
        dict(id=8, name='pig'),
        dict(id=9),
        dict(name='rat'),
        'text',
        dict(id=9, name=3),
    ]
    counts, findings, _ = check(data)
    assert counts == {
        'duplicate category id': 1,
        'duplicate category name': 1,
        'category ids with gaps': 1,
        'category entry of a wrong type': 4,
    }
    gaps = next(f for f in findings if f.level == NOTE)
    assert str(gaps.places[0]) == '(5 from 1 to 8)'


def test_classes_of_the_config_decide_labels():
    data = good_set()
    counts, _, content = check(data, classes=('dog', 'fox'))
    assert counts == {
        'class that the config lacks': 1,
        'image without objects': 1,
    }
    assert content.names == ('dog',) and content.labels.tolist() == [0]


def test_config_decides_levels():
    data = good_set()
    del data['annotations'][0]
    add(data, id=9, image_id=2, segmentation=[[1, 2, 3, 4]])
    levels = {
        with_all: {
            finding.kind: finding.level
            for finding in check(
                data, filter_empty=with_all, with_mask=with_all
            )[1]
        }
        for with_all in (False, True)
    }
    kinds = ('image without objects', 'polygon of too few points')
    assert levels == {
        False: dict.fromkeys(kinds, 'note'),
        True: dict.fromkeys(kinds, 'dropped'),
    }


# What follows compares with MMDetection itself.
EDITS = [
    *({'bbox': box} for boxes in BAD_BOXES.values() for box in boxes),
    *({'area': area} for area in (0, -1, NAN, INF, None, 'x', 1)),
    {'category_id': 7},
    {'category_id': '1'},
    {'category_id': 1.0},
    {'category_id': [1]},
    {'category_id': None},
    {'image_id': 7},
    {'image_id': '1'},
    {'image_id': [1]},
    {'iscrowd': 1},
    {'ignore': 1, 'bbox': None},
    {'id': 1},
    {'id': None},
    *({'segmentation': mask} for mask in ([], None, [[1, 2, 3, 4]])),
    {'segmentation': [[1, 2, 3, 4, 5, 6, 7]]},
    {'segmentation': [*TRIANGLE, [1, 2]]},
    {'segmentation': [['x', 1, 2, 3, 4, 5]]},
    {'segmentation': [1, 2, 3, 4, 5, 6]},
    {'segmentation': 'abcdef'},
    {'segmentation': dict(size=[80, 100], counts=[0, 8000])},
    {'segmentation': dict(size=[80, 100])},
]
TAKEN_AS_NUMBERS = [True, 1, 2, 3]  # by Python, as a box


SET_ASIDE = {'crowd', 'object with ignore'}  # on purpose


@pytest.mark.parametrize(
    'edit, with_mask',
    [
        (edit, with_mask)
        for edit in EDITS
        for with_mask in (False, True)
        if not with_mask or 'segmentation' in edit
    ],
    ids=repr,
)
def test_mmdetection_does_what_is_said(edit, with_mask, tmp_path):
    data = good_set()
    add(data, **edit)
    rules = dict(with_mask=with_mask, polygons=True, filter_empty=True)
    counts, findings, content = check(data, **rules)
    levels = {finding.level for finding in findings}
    try:
        num_used = count_objects(data, tmp_path, with_mask)
    except (AssertionError, KeyError, TypeError, ValueError):
        assert ERROR in levels
        return
    if ERROR in levels and (
        'infinite box' in counts or edit.get('bbox') == TAKEN_AS_NUMBERS
    ):
        return  # taken for a box
    if ERROR in levels and with_mask:
        assert num_used == 2  # left out instead
        return
    assert ERROR not in levels
    assert num_used == len(content.boxes)
    if num_used == 3:
        assert levels <= {NOTE} or [*counts] == [PART_POLYGON]
    elif not SET_ASIDE & counts.keys():
        assert 'dropped' in levels


def count_objects(data, folder, with_mask):
    """Return how many objects MMDetection trains on."""
    (folder / 'a.json').write_text(json.dumps(data))
    for image in data['images']:
        Image.new('RGB', (100, 80)).save(folder / image['file_name'])
    load = dict(
        type='LoadAnnotations',
        with_bbox=True,
        with_mask=with_mask,
        poly2mask=False,
    )
    with contextlib.redirect_stdout(io.StringIO()):
        dataset = CocoDataset(
            ann_file='a.json',
            data_root=str(folder),
            data_prefix=dict(img=''),
            metainfo=dict(classes=('cat', 'dog')),
            filter_cfg=dict(filter_empty_gt=True),
            pipeline=[
                dict(type='LoadImageFromFile'),
                load,
                dict(type='Resize', scale=(320, 224), keep_ratio=True),
                dict(type='PackDetInputs'),
            ],
        )
    samples = [dataset[i]['data_samples'] for i in range(len(dataset))]
    return sum(len(sample.gt_instances) for sample in samples)


@pytest.mark.parametrize(
    'content, fault',
    [
        (None, 'cannot be read'),
        (b'', 'is not JSON'),
        (b'{"images": [', 'is not JSON'),
        (b'\x89PNG', 'is not JSON'),
        (b'[' * 10**6, 'nested too deeply'),
        (b'{"a":' * 10**6, 'nested too deeply'),
        (b'[]', 'has no list of images'),
        (b'{"images": {}}', 'has no list of images'),
        (b'{"images": []}', 'has no list of annotations'),
        (b'{"images": [{"id": ' + b'9' * 10**5 + b'}]}', 'is not JSON'),
    ],
    ids=lambda value: str(value)[:20],
)
def test_unreadable_file_is_one_line(content, fault, tmp_path):
    file = tmp_path / 'a.json'
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ValueError, match=fault) as caught:
        doctor.read_annotations(str(file))
    assert '\n' not in str(caught.value)


@pytest.mark.skipif(sys.platform != 'linux', reason='needs /proc')
def test_reading_may_not_take_all_memory():
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    with memory_limit():
        inside = resource.getrlimit(resource.RLIMIT_AS)
        with pytest.raises(MemoryError):
            bytearray(inside[0])
    assert 0 < inside[0] != before[0]
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def test_texts_are_safe_to_print():
    assert show('a\x1b[31m\n\u202eb\ud800é') == r'a\x1b[31m\n\u202eb\ud800é'
    assert len(show('x' * 10**6)) == 60
    deep = []
    for _ in range(10**5):
        deep = [deep]
    assert len(show(deep)) < 60
    place = Place('a\n', 1, '\r')
    assert str(place) == r'a\n #\r'
    assert all(map(str.isprintable, KINDS))
