"""Each structure, exported, finds what MMDetection finds."""

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
CONFIGS = [  # the others differ in numbers of channels and blocks
    'faster-rcnn_fbnetv3-a-c5_8xb4-540k_coco',
    'faster-rcnn_fbnetv3-a-dsmask-c4_gn_8xb4-540k_coco',
    'faster-rcnn_fbnetv3-b-large-c4_8xb4-540k_coco',
    'faster-rcnn_fbnetv3-b-light-large-3layers-c3_8xb4-540k_coco',
    'faster-rcnn_fbnetv3-b-light-no-se-c5_8xb4-540k_coco',
    'faster-rcnn_fbnetv3-default-c4_8xb4-540k_coco',
    'faster-rcnn_fbnetv3-g-fpn_8xb4-450k_coco',
    'mask-rcnn_fbnetv3-a-c4_8xb4-540k_coco',
    'mask-rcnn_fbnetv3-g-fpn_8xb4-450k_coco',
]
PROPOSALS = 30  # at most: 1000 of a pyramid would take a minute


@pytest.mark.slow
@pytest.mark.parametrize('name', CONFIGS)
def test_detections_are_mmdetections(name, tmp_path):
    cfg = Config.fromfile(FOLDER / f'{name}.py')
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
    assert expected.masks.any() and not expected.masks.all()
    for backend in BACKENDS:
        assert_equal(exported.find(backend, image), expected)
