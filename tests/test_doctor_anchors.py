"""data.doctor: boxes against anchors and pooler, solved by hand."""

import numpy as np
import pytest
from mmengine.config import Config

from fbnetv3_mmdet.data import doctor
from fbnetv3_mmdet.data.annotations import Content
from fbnetv3_mmdet.data.doctor.anchors import Scaled, best_overlaps
from fbnetv3_mmdet.data.doctor.clusters import cluster

pytestmark = pytest.mark.same_on_upstream


def boxes_of(*rows, image=(320, 224)):
    """Return boxes of x, y, width, height in pixels of the network."""
    rows = np.array(rows, float)
    return Scaled(
        rows[:, :2] + rows[:, 2:] / 2,
        rows[:, 2:],
        np.broadcast_to(np.array(image, float), (len(rows), 2)),
    )


def square(side):
    return np.array([[-side, -side, side, side]]) / 2.0


def test_best_anchor_is_at_the_nearest_point_of_the_grid():
    boxes = boxes_of(
        (16, 16, 32, 32),  # its centre, (32, 32), is a point of the grid
        (24, 24, 32, 32),  # (40, 40): 8 px off along both axes
        (20, 16, 32, 32),  # (36, 32): 4 px off
        (24, 24, 16, 16),  # a quarter of the anchor, wholly inside
        (16, 0, 32, 64),  # twice the anchor, which is wholly inside
    )
    found = best_overlaps(boxes, [square(32)], [(16, 16)])
    shared = 24 * 24
    assert found == pytest.approx(
        [
            1,
            shared / (2 * 1024 - shared),
            28 * 32 / (2 * 1024 - 28 * 32),
            1 / 4,
            1 / 2,
        ]
    )


def test_grid_ends_with_the_image():
    # 320 px have cells at 0, 16 .. 304; the box's centre is at 320
    boxes = boxes_of((304, 96, 32, 32))
    found = best_overlaps(boxes, [square(32)], [(16, 16)])
    assert found == pytest.approx([16 / (32 + 16)])


def test_grid_of_the_coarser_level_may_serve_better():
    boxes = boxes_of((0, 0, 64, 64))  # centre (32, 32)
    levels = [square(32), square(64)]
    assert best_overlaps(boxes, levels, [(16, 16), (32, 32)]) == [1]


def content_of(boxes, size):
    boxes = np.array(boxes, float)
    sizes = np.broadcast_to(np.array(size, float), (len(boxes), 2))
    labels = np.zeros(len(boxes), int)
    return Content({}, ('cat',), len(boxes), boxes, labels, sizes)


def config(**changes):
    """A config with one square anchor of 32 px on a grid of 16 px."""
    dataset = dict(pipeline=[dict(type='Resize', **changes)])
    return Config(
        dict(
            model=dict(
                rpn_head=dict(
                    anchor_generator=dict(
                        type='AnchorGenerator',
                        strides=[16],
                        base_sizes=[16],
                        scales=[2],
                        ratios=[1.0],
                        center_offset=0.0,
                    )
                ),
                roi_head=dict(
                    bbox_roi_extractor=dict(
                        type='FBNetV3RoIExtractor',
                        output_size=6,
                        featmap_strides=[16],
                    )
                ),
            ),
            test_dataloader=dict(dataset=dataset),
        )
    )


def test_boxes_are_scaled_as_the_test_pipeline_does():
    content = content_of([[64, 48, 32, 16]], (640, 480))
    # 480 to 224 px would make 299 of 640: the shorter side decides
    cfg = config(scale=(320, 224), keep_ratio=True)
    boxes = doctor.scale_boxes(content, cfg)
    assert boxes.images.tolist() == [[299, 224]]
    x, y = 299 / 640, 224 / 480
    assert boxes.sides[0] == pytest.approx([32 * x, 16 * y])
    assert boxes.centers[0] == pytest.approx([80 * x, 56 * y])
    boxes = doctor.scale_boxes(content, config(scale=(320, 120)))
    assert boxes.sides.tolist() == [[16, 4]]


def test_share_that_no_anchor_reaches():
    cfg = config(scale=(320, 224), keep_ratio=True)
    boxes = [
        [16, 16, 32, 32],  # IoU 1
        [24, 24, 32, 32],  # 0.39
        [20, 16, 32, 32],  # 0.78
        [120, 88, 16, 16],  # 0.25
    ]
    content = content_of(boxes, (320, 224))
    scaled = doctor.scale_boxes(content, cfg)
    in_use, chosen = doctor.fit_anchors(scaled, cfg)
    assert in_use.missed == 0.5
    assert in_use.sizes == [32] and in_use.ratios == [1]
    assert not in_use.snippet and 'scales=[2.0]' in chosen.snippet
    assert chosen.missed == 0.5


def test_kmeans_finds_two_clusters():
    rng = np.random.default_rng(0)
    small = 20 * np.exp(rng.normal(0, 0.05, (300, 1)))
    large = 100 * np.exp(rng.normal(0, 0.05, (100, 1)))
    shape = np.array([[1, 2.0]]) / np.sqrt(2)  # twice as high as wide
    sizes, ratios = cluster(np.concatenate((small, large)) * shape, 2, 1)
    assert sizes == pytest.approx([20, 100], rel=0.02)
    assert ratios == pytest.approx([2])


def test_kmeans_finds_ratios():
    sides = np.array([[40, 20]] * 30 + [[20, 40]] * 30 + [[30, 30]] * 30)
    sizes, ratios = cluster(sides.astype(float), 1, 3)
    assert ratios == pytest.approx([0.5, 1, 2])
    assert 800**0.5 <= sizes[0] <= 30


def test_snippet_is_a_config_that_reaches_all(tmp_path):
    cfg = config(scale=(320, 224), keep_ratio=True)
    boxes = boxes_of(*([16 * i + 8, 88, 16, 16] for i in range(8)))
    in_use, chosen = doctor.fit_anchors(boxes, cfg)
    assert in_use.missed == 1 and chosen.missed == 0
    (tmp_path / 'base.py').write_text(f'model = {cfg.model.to_dict()!r}')
    child = tmp_path / 'child.py'
    child.write_text(f"_base_ = './base.py'\n{chosen.snippet}\n")
    cfg = Config.fromfile(str(child))
    assert cfg.model.rpn_head.anchor_generator.scales == [1.0]
    in_use, _ = doctor.fit_anchors(boxes, cfg)
    assert in_use.overlaps.tolist() == [1] * 8


def test_pooler_shares():
    cfg = config()
    boxes = boxes_of(
        (0, 0, 96, 96),  # 6 bins of a cell of 16 px
        (0, 0, 200, 95),
        (0, 0, 16, 16),
        (0, 0, 15, 90),
    )
    assert doctor.pooler_shares(boxes, cfg) == (6, 0.75, 0.25)


def test_detector_without_anchors_and_pooler():
    cfg = Config(dict(model=dict(bbox_head=dict(type='FCOSHead'))))
    boxes = boxes_of((0, 0, 9, 9))
    assert doctor.fit_anchors(boxes, cfg) == []
    assert doctor.pooler_shares(boxes, cfg) is None
