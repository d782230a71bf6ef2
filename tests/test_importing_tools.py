"""Import of what VIA, Label Studio and LabelMe write themselves.

Of each picture's two objects, the cat is the box and the dog the polygon that
stand in tests/imports.py.
"""

import base64
import io
import json

import numpy as np
import pytest
from imports import (
    CAT,
    DOG,
    HEIGHT,
    WIDTH,
    both,
    picture,
    refused,
    run,
    save,
)
from PIL import Image
from pycocotools import mask as coco_mask

pytestmark = pytest.mark.same_on_upstream

FILES = [f'{i}.png' for i in range(1, 7)]
X, Y, W, H = DOG
CORNERS = [(X, Y), (X + W, Y), (X + W, Y + H), (X, Y + H)]


@pytest.fixture
def source(tmp_path):
    for i, file in enumerate(FILES):
        picture(tmp_path / 'source' / file, i)
    return tmp_path / 'source'


def via(number=None):
    """Return VIA's entries; regions are numbered where ``number`` is str."""
    x, y, w, h = CAT
    xs, ys = zip(*CORNERS, strict=True)
    shapes = (
        dict(name='rect', x=x, y=y, width=w, height=h),
        dict(name='polygon', all_points_x=xs, all_points_y=ys),
        dict(name='point', cx=1, cy=1),
    )
    classes = ({'pet': 'cat'}, {'pet': {'dog': True, 'cat': False}}, {})
    regions = [
        dict(shape_attributes=shape, region_attributes={**name, 'remark': ''})
        for shape, name in zip(shapes, classes, strict=True)
    ]
    if number:
        regions = {number(i): region for i, region in enumerate(regions)}
    return {
        f'{file}99': dict(filename=file, size=99, regions=regions)
        for file in FILES
    }


@pytest.mark.parametrize('kind', ['project', 'regions', 'version 1'])
def test_via(source, capsys, kind):
    value = via(str if kind == 'version 1' else None)
    if kind == 'project':
        value = {'_via_settings': {}, '_via_img_metadata': value}
    save(source, value, 'via.json')
    train, val = run(source)
    assert sorted(train + val) == both(*FILES)
    printed = capsys.readouterr().out
    assert "VIA's JSON (via.json)" in printed
    assert '6 x region without a class left out' in printed


def test_via_without_attributes_has_one_class(source):
    value = via()
    for entry in value.values():
        entry['regions'] = entry['regions'][:2]
        for region in entry['regions']:
            region['region_attributes'] = {}
    save(source, value, 'via.json')
    train, val = run(source)
    assert [label for _, label, _ in train + val] == ['object'] * 12


def test_via_with_unclear_attributes_is_refused(source, capsys):
    value = via()
    for entry in value.values():
        for region in entry['regions']:
            region['region_attributes']['remark'] = 'good'
    save(source, value, 'via.json')
    line = refused(source, capsys)
    assert "['pet', 'remark']" in line and "rename that one to 'class'" in line


def test_two_files_of_the_same_pictures_are_refused(source, capsys):
    save(source, via(), 'via.json')
    save(source, {'_via_img_metadata': via()}, 'project.json')
    assert "'project.json' and 'via.json' both label" in refused(
        source, capsys
    )


def label_studio():
    """Return the regions of a picture; the dog's box is turned by 90."""
    size = {'original_width': WIDTH, 'original_height': HEIGHT}
    keys = ('x', 'y', 'width', 'height')
    sides = (WIDTH, HEIGHT) * 2
    # around its upper left corner, which is the upper right one then
    boxes = (*CAT, 0, 'cat'), (X + W, Y, H, W, 90, 'dog')
    return [
        {
            **{
                key: 100 * value / side
                for key, value, side in zip(keys, box, sides, strict=False)
            },
            'rotation': angle,
            'rectanglelabels': [name],
            **size,
        }
        for *box, angle, name in boxes
    ]


@pytest.mark.parametrize('uploaded', [True, False])
@pytest.mark.parametrize('minimal', [True, False])
def test_label_studio(source, capsys, minimal, uploaded):
    tasks = []
    for i, file in enumerate(FILES):
        url = f'/data/upload/3/0123abc{i}-{file}'
        if not uploaded:
            url = f'/data/local-files/?d=some/where/{file}'
        regions = label_studio()
        if minimal:
            task = {'image': url, 'label': regions, 'annotation_id': i}
        else:
            wrong = [{'value': {**regions[0], 'rectanglelabels': ['x']}}]
            good = [{'type': 'r', 'value': region} for region in regions]
            annotations = [
                {'result': wrong},
                {'result': good, 'ground_truth': True},
                {'result': wrong, 'was_cancelled': True},
            ]
            task = {'data': {'image': url}, 'annotations': annotations}
        tasks.append(task)
    save(source, tasks, 'project-3.json')
    train, val = run(source)
    assert sorted(train + val) == both(*FILES)
    printed = capsys.readouterr().out
    further = "6 x further person's annotation of a picture left out"
    assert (further in printed) is not minimal


def test_label_studio_polygons_and_ellipses(source, capsys):
    """An ellipse spans its axes; what has no label yet is left out."""
    size = {'original_width': WIDTH, 'original_height': HEIGHT}
    points = [[100 * x / WIDTH, 100 * y / HEIGHT] for x, y in CORNERS]
    x, y, w, h = CAT
    ellipse = dict(
        x=100 * (x + w / 2) / WIDTH,
        y=100 * (y + h / 2) / HEIGHT,
        radiusX=50 * h / WIDTH,  # turned by 90 degrees
        radiusY=50 * w / HEIGHT,
        rotation=90,
    )
    values = [
        {'points': points, 'polygonlabels': ['dog']},
        {**ellipse, 'ellipselabels': ['cat']},
        {'format': 'rle', 'rle': [1, 2], 'brushlabels': ['cat']},
    ]
    result = [{'value': value, **size} for value in values]
    tasks = [
        {'data': {'image': file}, 'annotations': [{'result': result}]}
        for file in FILES[:-1]
    ]
    tasks.append({'data': {'image': FILES[-1]}, 'annotations': []})
    save(source, tasks)
    train, val = run(source)
    assert sorted(train + val) == both(*FILES[:-1])
    printed = capsys.readouterr().out
    assert '1 x picture without an annotation yet left out (6.png)' in printed
    assert 'or ellipse left out (brushlabels' in printed


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, 'PNG')
    return base64.b64encode(file.getvalue()).decode()


def test_masks_of_labelme_are_masks(source, capsys):
    """The cat's is a triangle; the dog's has a rectangle in its group."""
    x, y, w, h = CAT
    triangle = np.tri(h, w, w - h, dtype=bool)
    cat = dict(
        label='cat',
        shape_type='mask',
        points=[[x, y], [x + w - 1, y + h - 1]],
        mask=png(triangle),
    )
    dog = dict(
        label='dog',
        shape_type='mask',
        group_id=1,
        points=[[X, Y], [X + W - 1, Y + 9]],
        mask=png(np.ones((10, W), bool)),
    )
    rest = [list(CORNERS[i]) for i in (3, 2)] + [[X + W, Y + 8], [X, Y + 8]]
    polygon = dict(label='dog', group_id=1, points=rest)
    broken = dict(cat, mask='iVBOR')
    for file in FILES:
        shapes = [cat, dog, polygon] if file != '1.png' else [broken]
        value = dict(shapes=shapes, imagePath=file)
        value |= dict(imageWidth=WIDTH, imageHeight=HEIGHT)
        save(source, value, file.replace('png', 'json'))
    train, val = run(source)
    (first,) = [row for row in train + val if row[0] == '1.png']
    assert first[1:] == ('cat', [x, y, w - 1, h - 1])  # of its points
    others = sorted(row for row in train + val if row[0] != '1.png')
    assert others == both(*FILES[1:])
    printed = capsys.readouterr().out
    assert '1 x mask that cannot be read taken as its box (cat)' in printed
    out = source.parent / 'out'
    for label, box, area, mask in masks(out):
        expected = np.zeros((HEIGHT, WIDTH), bool)
        bx, by, bw, bh = box
        expected[by : by + bh, bx : bx + bw] = triangle if label == 1 else True
        assert area == expected.sum() and (mask == expected).all()


def masks(out):
    """Yield class, box, area and decoded mask of each object with one."""
    for part in ('train', 'val'):
        data = json.loads((out / f'{part}.json').read_text())
        for item in data['annotations']:
            if item['segmentation']:
                mask = coco_mask.decode(item['segmentation'])
                keys = ('category_id', 'bbox', 'area')
                yield *(item[key] for key in keys), mask
