"""Each structure, exported, finds what MMDetection finds."""

import onnx
import pytest
from exported import (
    BACKENDS,
    Exported,
    assert_equal,
    stable_picture,
)
from mmengine.config import Config
from random_detector import CONFIG, ROOT
from thorough import amount

pytestmark = pytest.mark.same_on_upstream

MODELS = ROOT / 'configs/_base_/models'
STRUCTURES = {  # name: base config and what is changed in it
    'large': ('faster-rcnn_fbnetv3-c4', {'arch': 'FBNetV3_B_large'}),
    'GN, another pooler': (
        'faster-rcnn_fbnetv3-c4',
        {
            'arch': 'FBNetV3_B',
            'norm_cfg': dict(type='GN', num_groups=8),
            'roi_head.bbox_roi_extractor.output_size': 8,
        },
    ),
    'C3 of three layers': (
        'faster-rcnn_fbnetv3-c4',
        {
            'arch': 'FBNetV3_B_light_large_3layers',
            'backbone.out_indices': (2,),
            'rpn_head.anchor_generator.strides': [8],
            'roi_head.bbox_roi_extractor.featmap_strides': [8],
        },
    ),
    'C5 without squeeze-excite': (
        'faster-rcnn_fbnetv3-c5',
        {'arch': 'FBNetV3_B_light_no_se_C5'},
    ),
    'masks': ('mask-rcnn_fbnetv3-c4', {'arch': 'default'}),
    'masks of an FPN': (
        'mask-rcnn_fbnetv3-fpn',
        {'arch': 'FBNetV3_A_dsmask_C5'},
    ),
}
PROPOSALS = 30  # 1000 of a pyramid would take a minute


@pytest.mark.slow
@pytest.mark.parametrize(
    'name', amount(['GN, another pooler', 'masks of an FPN'], STRUCTURES)
)
def test_detections_are_mmdetections(name, tmp_path):
    base, changes = STRUCTURES[name]
    cfg = Config.fromfile(CONFIG)
    cfg.model = Config.fromfile(MODELS / f'{base}.py').model
    cfg.merge_from_dict({f'model.{key}': changes[key] for key in changes})
    cfg.model.test_cfg.rpn.max_per_img = PROPOSALS
    # of any size, a pyramid takes minutes to export
    size = amount((224, 320), None) if 'fpn' in base else None
    exported = Exported(cfg, tmp_path, size=size)
    operators = {node.op_type for node in onnx.load(exported.path).graph.node}
    assert 'BatchNormalization' not in operators
    image, expected = stable_picture(exported.original, *(size or (230, 300)))
    for backend in BACKENDS:
        assert_equal(exported.find(backend, image), expected)


@pytest.mark.slow
def test_detections_of_mmdetections_own_heads(tmp_path):
    cfg = Config.fromfile(CONFIG.replace('faster-rcnn', 'mask-rcnn'))
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
    shares = [mask.full().mean() for mask in expected.masks]
    assert any(0 < share < 1 for share in shares)
    for backend in BACKENDS:
        assert_equal(exported.find(backend, image), expected)
