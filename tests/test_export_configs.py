"""Every config's detector, exported, finds what MMDetection finds."""

from pathlib import Path

import onnx
import pytest
from exported import (
    BACKENDS,
    Exported,
    assert_equal,
    stable_picture,
)
from mmdet.utils import get_test_pipeline_cfg
from mmengine.config import Config

FOLDER = Path(__file__).parents[1] / 'configs/fbnetv3'
CONFIGS = [  # the others are the same models, for other data
    path
    for path in sorted(FOLDER.glob('*-rcnn_*_coco.py'))
    if '_lsj_' not in path.name
]
PROPOSALS = 30  # at most: 1000 of a pyramid would take a minute


@pytest.mark.slow
@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_detections_are_mmdetections(path, tmp_path):
    cfg = Config.fromfile(path)
    limits = cfg.model.test_cfg.rpn
    limits.max_per_img = min(limits.max_per_img, PROPOSALS)
    for transform in get_test_pipeline_cfg(cfg):
        if transform['type'] == 'Resize':
            transform['scale'] = (320, 224)
    exported = Exported(cfg, tmp_path)
    operators = {node.op_type for node in onnx.load(exported.path).graph.node}
    assert 'BatchNormalization' not in operators
    image, expected = stable_picture(exported.original, 230, 300)
    for backend in BACKENDS:
        assert_equal(exported.find(backend, image), expected)


@pytest.mark.slow
def test_detections_of_mmdetections_own_heads(tmp_path):
    cfg = Config.fromfile(next(FOLDER.glob('mask-*-dsmask-c4_*digits.py')))
    heads = cfg.model.roi_head
    heads.bbox_head.update(
        type='Shared2FCBBoxHead',
        fc_out_channels=32,
        roi_feat_size=1,
        reg_class_agnostic=True,
    )
    heads.mask_head = dict(
        type='FCNMaskHead',
        num_convs=1,
        in_channels=112,  # of the backbone's last stage
        conv_out_channels=16,
        num_classes=10,
        class_agnostic=True,
        loss_mask=dict(type='CrossEntropyLoss', use_mask=True),
    )
    exported = Exported(cfg, tmp_path)
    image, expected = stable_picture(exported.original, 224, 320)
    assert expected['masks'].any() and not expected['masks'].all()
    for backend in BACKENDS:
        assert_equal(exported.find(backend, image), expected)
