"""The data pipelines of every config, run on a picture."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope

import fbnetv3_mmdet  # noqa: F401

FOLDER = Path(__file__).parents[1] / 'configs/fbnetv3'
CONFIGS = sorted(FOLDER.glob('*.py'))
LSJ = FOLDER / 'faster-rcnn_fbnetv3-a-c4_lsj_8xb4-540k_coco.py'
FPN = FOLDER / 'mask-rcnn_fbnetv3-g-fpn_8xb4-450k_coco.py'
HEIGHT, WIDTH = 480, 640


@pytest.fixture(scope='module')
def picture(tmp_path_factory):
    """Return what a dataset knows of a picture with one object."""
    path = tmp_path_factory.mktemp('pictures') / '0.png'
    cv2.imwrite(str(path), np.full((HEIGHT, WIDTH, 3), 200, np.uint8))
    corners = [64.0, 48, 320, 48, 320, 240, 64, 240]
    instance = dict(
        bbox=[64.0, 48.0, 320.0, 240.0],
        bbox_label=0,
        ignore_flag=0,
        mask=[corners],
    )
    return dict(
        img_path=str(path),
        img_id=0,
        height=HEIGHT,
        width=WIDTH,
        instances=[instance],
    )


def run(cfg, split, picture):
    init_default_scope('mmdet')
    pipeline = Compose(cfg[f'{split}_dataloader'].dataset.pipeline)
    return pipeline(dict(picture))


def with_other_pipelines():
    """Return a config for each set of pipelines that there is."""
    found = {}
    for path in CONFIGS:
        cfg = Config.fromfile(path)
        found.setdefault(repr(cfg.train_dataloader.dataset.pipeline), path)
    return list(found.values())


@pytest.mark.parametrize('path', with_other_pipelines(), ids=lambda p: p.stem)
def test_every_pipeline_runs(path, picture):
    cfg = Config.fromfile(path)
    for split in ('train', 'val', 'test'):
        out = run(cfg, split, picture)
        sample = out['data_samples']
        objects = sample.gt_instances
        assert tuple(out['inputs'].shape[1:]) == sample.img_shape
        if 'mask_head' in cfg.model.get('roi_head', {}) and split == 'train':
            assert len(objects.masks) == len(objects) == 1
            # the object is its box
            areas = objects.bboxes.areas.tolist()
            assert objects.masks.areas == pytest.approx(areas, rel=0.05)


@pytest.mark.parametrize(
    ('path', 'size'),
    # 224 / 480 * 640 = 298.67, rounded half up; 800 / 480 * 640 = 1066.67
    [(FOLDER / 'mask-rcnn_fbnetv3-a-c4_8xb4-540k_coco.py', (224, 299)),
     (FPN, (800, 1067))],
)  # fmt: skip
def test_size_of_a_picture_is_the_references(path, size, picture):
    out = run(Config.fromfile(path), 'test', picture)
    assert out['data_samples'].img_shape == size


def test_pyramid_trains_at_six_sizes(picture):
    cfg = Config.fromfile(FPN)
    sides = set()
    np.random.seed(0)
    for _ in range(60):
        sides.add(run(cfg, 'train', picture)['data_samples'].img_shape[0])
    assert sides == {640, 672, 704, 736, 768, 800}


def test_large_scale_jitter_fills_its_window(picture):
    cfg = Config.fromfile(LSJ)
    np.random.seed(0)
    scales = []
    for _ in range(100):
        out = run(cfg, 'train', picture)
        sample = out['data_samples']
        assert out['inputs'].shape == (3, 224, 320)
        assert set(out['inputs'].unique().tolist()) <= {128, 200}
        boxes = sample.gt_instances.bboxes.tensor
        window = torch.tensor([320, 224, 320, 224])
        assert ((boxes >= 0) & (boxes <= window)).all()
        scales.append(sample.scale_factor[1] * HEIGHT / 224)
    assert min(scales) == pytest.approx(0.1, abs=0.05)
    assert max(scales) == pytest.approx(2, abs=0.05)
    assert torch.tensor(scales).median() == pytest.approx(1.05, abs=0.2)
