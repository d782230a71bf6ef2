"""DigitScenes: what it draws, and that a set exists wholly or not at all."""

import hashlib
import json
import multiprocessing
import os
import signal
import sys
from itertools import combinations

import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS, METRICS
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from PIL import Image
from pycocotools import mask as mask_utils

from fbnetv3_mmdet.data import digits
from fbnetv3_mmdet.data.scenes import load_split

sklearn_datasets = pytest.importorskip('sklearn.datasets')

NUM_IMAGES = {'train': 40, 'val': 12}
FORK = multiprocessing.get_context('fork')  # children need not import again

# sha256 of annotations and pixels of four scenes, by split and seed; equal
# for Pillow 10 and 13, NumPy 1.26 to 2.4. A change needs a new VERSION.
RECORDED = {
    ('train', 0): (
        'e2eaf733e419beedfd958815eeffe77ea003e701dd9957d77a21946c4c4df2e7'
    ),
    ('val', 7): (
        '3315ed1b3421113b5f1c924d3b484d94cdf1c9d35c8363d51cca54eb2ef370f1'
    ),
}


def build(root, split='train', num_images=4, **kwargs):
    init_default_scope('mmdet')
    return DATASETS.build(
        dict(
            type='DigitScenes',
            data_root=str(root),
            split=split,
            num_images=num_images,
            **kwargs,
        )
    )


def read(folder):
    return json.loads((folder / 'annotations.json').read_text())


def pixels(folder, number):
    return np.asarray(Image.open(folder / 'images' / f'{number:06d}.png'))


def contents(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob('*')
        if path.is_file()
    }


def visible(folder):
    return sorted(p.name for p in folder.iterdir() if p.name[0] != '.')


@pytest.fixture(scope='module')
def sets(tmp_path_factory):
    """The folder of a drawn set, by split."""
    root = tmp_path_factory.mktemp('digits')
    for split, num_images in NUM_IMAGES.items():
        build(root, split, num_images)
    return {s: root / f'{s}_n{n}_s0_v1' for s, n in NUM_IMAGES.items()}


@pytest.fixture(params=NUM_IMAGES)
def scenes(request, sets):
    """Of each scene: pixels, annotations, visible masks (N, H, W)."""
    folder = sets[request.param]
    coco = read(folder)
    scenes = []
    for image in coco['images']:
        annotations = [
            a for a in coco['annotations'] if a['image_id'] == image['id']
        ]
        masks = [mask_utils.decode(a['segmentation']) for a in annotations]
        scenes.append(
            (pixels(folder, image['id']), annotations, np.array(masks, bool))
        )
    assert len(scenes) == NUM_IMAGES[request.param]
    return scenes


@pytest.mark.parametrize('split, seed', RECORDED)
def test_annotations_and_pixels_are_those_of_version_1(split, seed, tmp_path):
    build(tmp_path, split, seed=seed)
    folder = tmp_path / f'{split}_n4_s{seed}_v1'
    sha = hashlib.sha256((folder / 'annotations.json').read_bytes())
    for number in range(1, 5):
        sha.update(pixels(folder, number).tobytes())
    assert sha.hexdigest() == RECORDED[split, seed]


def test_scene_depends_on_its_number_and_the_seed_alone(sets, tmp_path):
    build(tmp_path)
    build(tmp_path, seed=1)
    same, other = tmp_path / 'train_n4_s0_v1', tmp_path / 'train_n4_s1_v1'
    for number in range(1, 5):
        scene = pixels(sets['train'], number)
        assert (pixels(same, number) == scene).all()
        assert (pixels(other, number) != scene).any()
    few = read(same)['annotations']
    assert few == read(sets['train'])['annotations'][: len(few)]


def test_scenes_are_as_specified(scenes):
    counts = {len(annotations) for _, annotations, _ in scenes}
    assert counts <= set(range(1, 7)) and {1, 6} <= counts
    heights = [a['bbox'][3] for _, anns, _ in scenes for a in anns]
    assert 24 <= min(heights) < 32 and 88 < max(heights) <= 96
    assert all(scene.shape == (224, 320, 3) for scene, _, _ in scenes)


def test_boxes_are_tight_around_visible_masks(scenes):
    for _, annotations, masks in scenes:
        assert masks.sum(0).max() == 1  # no pixel belongs to two digits
        for annotation, mask in zip(annotations, masks, strict=True):
            rows, columns = np.nonzero(mask)
            x, y = columns.min(), rows.min()
            w, h = columns.max() + 1 - x, rows.max() + 1 - y
            assert annotation['bbox'] == [x, y, w, h]
            assert annotation['area'] == mask.sum()
            assert annotation['iscrowd'] == 0


def test_digits_overlap_somewhat(scenes):
    ious = []
    for _, annotations, _ in scenes:
        boxes = [np.array(a['bbox']) for a in annotations]
        for a, b in combinations(boxes, 2):
            end = np.minimum(a[:2] + a[2:], b[:2] + b[2:])
            both = np.clip(end - np.maximum(a[:2], b[:2]), 0, None).prod()
            ious.append(both / (a[2:].prod() + b[2:].prod() - both))
    assert 0.05 < max(ious) < 0.3


def test_digits_stand_out_from_their_surroundings(scenes):
    for scene, annotations, masks in scenes:
        grey = np.asarray(Image.fromarray(scene).convert('L'), float)
        free = ~masks.any(0)
        for annotation, mask in zip(annotations, masks, strict=True):
            x, y, w, h = map(int, annotation['bbox'])
            near = np.zeros_like(free)
            near[max(0, y - 8) : y + h + 8, max(0, x - 8) : x + w + 8] = True
            assert abs(grey[mask].mean() - grey[near & free].mean()) > 40


def test_splits_share_no_digit_image(sets):
    source = sklearn_datasets.load_digits()
    drawn = {}
    for split, folder in sets.items():
        annotations = read(folder)['annotations']
        drawn[split] = {a['source'] for a in annotations}
        for annotation in annotations:
            label = source.target[annotation['source']]
            assert annotation['category_id'] == label + 1
    assert not drawn['train'] & drawn['val']
    images = {
        split: {source.images[i].tobytes() for i in rows}
        for split, rows in drawn.items()
    }
    assert not images['train'] & images['val']


def test_every_digit_image_is_in_one_split():
    train, val = load_split('train'), load_split('val')
    rows = sorted([*train.rows, *val.rows])
    assert rows == list(range(1797))
    # a class has 174 to 183 images; every fifth goes to val
    assert set(np.bincount(val.labels)) <= {34, 35, 36}


def test_parameters_are_recorded(sets):
    info = read(sets['val'])['info']
    assert (info['split'], info['num_images']) == ('val', 12)
    assert (info['seed'], info['version']) == (0, 1)


def test_dataset_feeds_the_mask_pipeline(tmp_path):
    dataset = build(
        tmp_path,
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
            dict(type='PackDetInputs'),
        ],
        indices=3,
    )
    assert len(dataset) == 3
    assert dataset.metainfo['classes'] == tuple('0123456789')
    coco = read(tmp_path / 'train_n4_s0_v1')
    for number, item in enumerate(dataset, 1):
        assert item['inputs'].shape == (3, 224, 320)
        instances = item['data_samples'].gt_instances
        labels = [
            a['category_id'] - 1
            for a in coco['annotations']
            if a['image_id'] == number
        ]
        assert instances.labels.tolist() == labels
        boxes = instances.masks.get_bboxes('hbox').tensor
        assert torch.equal(boxes, instances.bboxes.tensor)


@pytest.mark.parametrize('with_file', [True, False])
def test_perfect_detections_score_one(with_file, sets):
    """Ground truth may be read from the file or ride along as 'instances'."""
    dataset = build(sets['val'].parent, 'val', 12)
    ann_file = str(sets['val'] / 'annotations.json') if with_file else None
    metric = METRICS.build(
        dict(type='CocoMetric', ann_file=ann_file, metric=['bbox', 'segm'])
    )
    metric.dataset_meta = dataset.metainfo
    for data in dataset:
        truth = data['instances']
        masks = [mask_utils.decode(t['mask']) for t in truth]
        prediction = InstanceData(
            bboxes=torch.tensor([t['bbox'] for t in truth]),
            labels=torch.tensor([t['bbox_label'] for t in truth]),
            scores=torch.ones(len(truth)),
            masks=torch.tensor(np.array(masks, bool)),
        )
        data['ori_shape'] = data['height'], data['width']
        metric.process({}, [dict(data, pred_instances=prediction)])
    scores = metric.evaluate(len(dataset))
    assert scores['coco/bbox_mAP'] == scores['coco/segm_mAP'] == 1


def test_a_killed_first_use_leaves_nothing_behind(sets, tmp_path):
    def die_at_fourth_scene():
        scenes = iter([digits.draw_scene] * 3)
        digits.draw_scene = lambda *args: next(
            scenes, lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        )(*args)
        build(tmp_path, 'train', 40)

    child = FORK.Process(target=die_at_fourth_scene)
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    partial = tmp_path / '.train_n40_s0_v1.partial'
    assert len(list(partial.glob('images/*.png'))) == 3
    assert visible(tmp_path) == []

    assert len(build(tmp_path, 'train', 40)) == 40
    assert not partial.exists()
    folder = tmp_path / 'train_n40_s0_v1'
    assert contents(folder) == contents(sets['train'])


def test_an_exception_while_drawing_leaves_nothing_behind(
    tmp_path, monkeypatch
):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(digits, 'draw_scene', interrupt)
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path)
    assert not [path for path in tmp_path.rglob('*') if path.is_dir()]


def test_concurrent_first_uses_share_one_set(sets, tmp_path):
    start = FORK.Barrier(3)

    def use():
        start.wait()
        assert len(build(tmp_path, 'val', 12)) == 12

    children = [FORK.Process(target=use) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0, 0]
    assert visible(tmp_path) == ['val_n12_s0_v1']
    assert not list(tmp_path.glob('*.partial'))
    assert contents(tmp_path / 'val_n12_s0_v1') == contents(sets['val'])


def test_a_drawn_set_is_used_as_it_is(tmp_path, monkeypatch):
    build(tmp_path)
    folder = tmp_path / 'train_n4_s0_v1'
    before = contents(folder), folder.stat().st_ino
    build(tmp_path, num_images=5)
    build(tmp_path, seed=1)
    monkeypatch.setitem(sys.modules, 'sklearn.datasets', None)
    assert len(build(tmp_path)) == 4  # needs scikit-learn no more
    assert (contents(folder), folder.stat().st_ino) == before


def test_folders_of_others_are_left_alone(tmp_path):
    for name in ('notes.txt', 'images/cat.png', 'train_n4_s0_v1/cat.png'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    before = contents(tmp_path)
    with pytest.raises(ValueError, match="'train_n4_s0_v1' that is no Digit"):
        build(tmp_path)
    assert contents(tmp_path) == before
    build(tmp_path, 'val')
    assert before.items() <= contents(tmp_path).items()


@pytest.mark.parametrize(
    'wrong, message',
    [
        (dict(split='test'), r"split='test'.* one of \['train', 'val'\]"),
        (dict(num_images=0), 'num_images=0 .* at least 1'),
        (dict(num_images=2.5), 'num_images=2.5 .*integer'),
        (dict(seed=-1), 'seed=-1 .* at least 0'),
        (dict(seed='0'), "seed='0' .*integer"),
        (dict(seed=True), 'seed=True .*integer'),
        (dict(seed=None), 'seed=None .*integer'),
    ],
)
def test_wrong_arguments_are_named(wrong, message, tmp_path):
    with pytest.raises(ValueError, match=message) as error:
        build(tmp_path / 'digits', **wrong)
    assert '\n' not in str(error.value)
    assert not (tmp_path / 'digits').exists()


def test_missing_scikit_learn_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'sklearn.datasets', None)
    with pytest.raises(ImportError, match=r'"mmdet-fbnetv3\[onedl\]"'):
        build(tmp_path)
    assert visible(tmp_path) == []
