"""One verdict of any annotation file: doctor, training, evaluation, int8."""

import contextlib
import io
import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from PIL import Image
from thorough import amount

import fbnetv3_mmdet  # noqa: F401  MMDetection needs its mmcv.ops

# isort: split
from fbnetv3_mmdet.data import CheckedCocoDataset, CheckedCocoMetric
from fbnetv3_mmdet.data.annotations import (
    Rules,
    check_annotations,
    read_annotations,
    refuse,
)
from fbnetv3_mmdet.deploy.int8.score import Annotations

pytestmark = pytest.mark.same_on_upstream

CLASSES = ('cat', 'dog')
NAMES = ['1.png', '2.png', 'a\\3.png', 'gone.png']
GONE = object()  # takes a field away
ODD = st.floats() | st.sampled_from(
    [GONE, None, '1', '', -1, 0, 1, 1.5, True, [], {}, 10**400]
)


def good_set():
    """Two images with two objects of each class."""
    sides = dict(width=40, height=30)
    return dict(
        images=[dict(id=i, file_name=NAMES[i], **sides) for i in (0, 1)],
        annotations=[
            dict(
                id=i,
                image_id=i // 4,
                category_id=1 + i % 2,
                bbox=[5 * (i % 4), 4, 9, 8],
                area=72,
                iscrowd=0,
                segmentation=[[5, 4, 14, 4, 14, 12, 5, 12]],
            )
            for i in range(8)
        ],
        categories=[dict(id=1, name='cat'), dict(id=2, name='dog')],
    )


number = st.integers(-5, 45) | st.floats(-5, 45)
row = st.lists(number, max_size=9)
rle = st.builds(
    lambda first, rest: dict(size=[30, 40], counts=[first, rest]),
    st.integers(0, 1200),
    st.integers(0, 1200),
)
VALUES = dict(
    images=dict(
        id=st.sampled_from([0, 1, '0', 'x']),
        file_name=st.sampled_from(NAMES),
        width=number,
        height=number,
    ),
    annotations=dict(
        id=st.integers(0, 20),
        image_id=st.sampled_from([0, 1, 7, '0', 'x']),
        category_id=st.sampled_from([1, 2, 7, '1']),
        bbox=st.lists(number, min_size=4, max_size=4),
        area=number,
        iscrowd=st.sampled_from([0, 1]),
        segmentation=st.lists(row, max_size=2) | rle | row,
        ignore=st.sampled_from([0, 1]),
    ),
    categories=dict(
        id=st.sampled_from([0, 1, 2, '1']),
        name=st.sampled_from(['cat', 'dog', 'x']),
    ),
)


@st.composite
def edits(draw):
    """Another value for a field of one entry."""
    section = draw(st.sampled_from(['annotations'] * 4 + [*VALUES]))
    index = draw(st.integers(0, 7))
    key = draw(st.sampled_from([*VALUES[section]]))
    usual = VALUES[section][key]
    value = draw(st.one_of(usual, usual, usual, ODD))
    return section, index, key, value


def edited(changes):
    data = good_set()
    for section, index, key, value in changes:
        entry = data[section][index % len(data[section])]
        entry[key] = value
        if value is GONE:
            del entry[key]
    return data


files = st.lists(edits(), max_size=4).map(edited)


def dataset(file, with_mask, **options):
    transforms = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations', with_bbox=True, with_mask=with_mask),
        dict(type='Resize', scale=(40, 30), keep_ratio=True),
        dict(type='PackDetInputs'),
    ]
    return CheckedCocoDataset(
        ann_file=file,
        data_prefix=dict(img=os.path.dirname(file)),
        metainfo=dict(classes=CLASSES),
        pipeline=transforms,
        with_mask=with_mask,
        **options,
    )


def verdict_of(use, *args):
    """Return whether a file is accepted; whatever else fails is a fault."""
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            use(*args)
        except ValueError as error:
            assert 'is broken: ' in str(error) or ' has no ' in str(error)
            assert '\n' not in str(error)
            return False
    return True


def doctor(file, rules):
    data = read_annotations(file, is_labelled=rules.learns)
    _, findings = check_annotations(data, rules, Path(file).parent)
    refusal = refuse(findings, missing=len(data['images']))
    if refusal:
        raise ValueError(f'{file} {refusal}')


def train(file, with_mask):
    samples = dataset(file, with_mask)
    for index in range(len(samples)):
        path = samples.get_data_info(index)['img_path']
        if os.path.isfile(path):  # WholeImagesHook speaks of the others
            sample = samples[index]['data_samples']
            boxes = sample.gt_instances.bboxes.tensor
            assert torch.isfinite(boxes).all()
            assert ((boxes[:, 2:] - boxes[:, :2]) > 0).all()


def evaluate(file, with_mask):
    """Evaluate perfect detections: all there are must be found."""
    samples = dataset(file, with_mask, test_mode=True)
    metric = CheckedCocoMetric(metric=['bbox', 'segm'][: 1 + with_mask])
    metric.dataset_meta = samples.metainfo
    number = 0
    for info in map(samples.get_data_info, range(len(samples))):
        objects = [o for o in info['instances'] if not o['ignore_flag']]
        number += len(objects)
        found = dict(
            bboxes=torch.tensor([o['bbox'] for o in objects]).reshape(-1, 4),
            labels=torch.tensor([o['bbox_label'] for o in objects]).long(),
            scores=torch.ones(len(objects)),
        )
        if with_mask:
            found['masks'] = torch.ones(len(objects), 30, 40).bool()
        metric.process(
            {},
            [
                dict(
                    img_id=info['img_id'],
                    ori_shape=(30, 40),
                    pred_instances=found,
                    instances=info['instances'],
                )
            ],
        )
    results = metric.evaluate(len(samples))
    if number:
        assert results['coco/bbox_mAP'] == 1


def judge(data):
    """Check that all who read a file say the same of it."""
    with TemporaryDirectory() as folder:
        for name in NAMES[:3]:
            file = name.rpartition('\\')[2]
            Image.new('RGB', (40, 30)).save(f'{folder}/{file}')
        file = f'{folder}/ann.json'
        Path(file).write_text(json.dumps(data))
        for with_mask in (False, True):
            rules = Rules(classes=CLASSES, with_mask=with_mask)
            learns = verdict_of(doctor, file, rules)
            assert verdict_of(train, file, with_mask) == learns
            rules = rules._replace(learns=False)
            tested = verdict_of(doctor, file, rules)
            assert verdict_of(evaluate, file, with_mask) == tested
            assert tested or not learns
        event('accepted' if learns else 'refused')
        scored = verdict_of(Annotations, file, CLASSES)
        rules = Rules(classes=CLASSES, learns=False)
        data = read_annotations(file, is_labelled=False)
        _, findings = check_annotations(data, rules)
        assert scored == (refuse(findings) is None)


QUICK = dict(
    deadline=None, suppress_health_check=[*HealthCheck], derandomize=True
)


@given(files)
@settings(max_examples=12, **QUICK)
def test_all_say_the_same(data):
    judge(data)


@pytest.mark.slow
@given(files)
@settings(
    max_examples=amount(25, 300),
    **(QUICK | dict(derandomize=False)),  # others each time
)
def test_all_say_the_same_of_many_files(data):
    judge(data)
