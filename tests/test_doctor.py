"""data.doctor: annotation files, and what training makes of them."""

import math
import sys

import pytest

import fbnetv3_mmdet  # noqa: F401  MMDetection needs its mmcv.ops

# isort: split

from fbnetv3_mmdet.data import doctor
from fbnetv3_mmdet.data.annotations import Defect, Place, Rules, show
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
    return {f.defect: f.count for f in findings}, findings, content


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


def test_objects_are_those_that_training_finds():
    data = good_set()
    add(data, image_id=2, category_id=2, bbox=[10, 10, 20, 21])  # IoU .95
    add(data, image_id=2, category_id=2, bbox=[10, 10, 20, 23])  # IoU .87
    add(data, image_id=2, category_id=1, bbox=[10, 10, 20, 20])
    add(data, iscrowd=1)
    add(data, bbox=[500, 1, 5, 5])
    add(data, area=0)
    add(data, image_id=7)
    for width, key in ((None, 3), (31, 4)):
        add_image(data, width=width)
        add(data, image_id=key)
    counts, findings, content = check(data, min_size=32)
    assert counts == {
        # the box of 23 px overlaps that of 21 px by 21 / 23 = 0.91
        Defect.NEAR_BOX: 2,
        Defect.CROWD: 1,
        Defect.OUTSIDE: 1,
        Defect.ZERO_AREA: 1,
        Defect.UNKNOWN_IMAGE: 1,
        Defect.NO_SIZE: 1,
        Defect.SMALL_IMAGE: 1,
    }
    twins = next(f for f in findings if f.defect is Defect.NEAR_BOX)
    assert str(twins.places[0]) == '2.png #3 (as #2)'
    # the good two, the near three, the area; without a size, none is known
    assert len(content.boxes) == 2 + 3 + 1
    assert len(content.objects) == 2 + 3 + 1 + 2  # a crowd, the unknown size


def test_categories_with_gaps_are_told():
    data = good_set()
    data['categories'][1]['id'] = data['annotations'][1]['category_id'] = 8
    (gaps,) = check(data)[1]
    assert str(gaps.places[0]) == '2 from 1 to 8'


def test_classes_of_the_config_decide_labels():
    data = good_set()
    counts, _, content = check(data, classes=('dog', 'fox'))
    assert counts == {
        Defect.OTHER_CLASS: 1,
        Defect.NO_OBJECTS: 1,
        Defect.EMPTY_CLASS: 1,
    }
    assert content.names == ('dog', 'fox') and content.labels.tolist() == [0]


def test_config_decides_levels():
    data = good_set()
    data['annotations'][0]['image_id'] = 2
    add(data, id=9, image_id=2, segmentation=[[1, 2, 3, 4]])
    levels = {
        with_all: {
            finding.defect: finding.level
            for finding in check(
                data, filter_empty=with_all, with_mask=with_all
            )[1]
        }
        for with_all in (False, True)
    }
    kinds = (Defect.NO_OBJECTS, Defect.NO_POLYGON)
    assert levels == {
        False: dict.fromkeys(kinds, 'note'),
        True: dict.fromkeys(kinds, 'dropped'),
    }


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
    assert all(defect.words.isprintable() for defect in Defect)
