"""FBNetV3OD: architecture, norm and width are set once."""

from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config, ConfigDict
from mmengine.runner import load_checkpoint
from test_configs import DEFAULT, total_loss
from torch import nn

from fbnetv3_mmdet.checkpoints import load_safely, to_d2go
from fbnetv3_mmdet.models.detector import share_settings

CONFIGS = Path(__file__).parents[1] / 'configs' / 'fbnetv3'
FPN = CONFIGS / 'faster-rcnn_fbnetv3-g-fpn_8xb4-450k_coco.py'
MASKS = CONFIGS / 'mask-rcnn_fbnetv3-a-dsmask-c4_8xb4-540k_coco.py'


def build(path, **model):
    cfg = Config.fromfile(path)
    cfg.merge_from_dict(dict(model=model))
    return MODELS.build(cfg.model)


def test_one_architecture_reaches_every_part():
    # D2Go's B: 16 channels from the image, 120 at stride 16, 184 in the box
    # stage; its RPN expands by 3, its box stage begins with 5
    model = build(DEFAULT, arch='FBNetV3_B')
    assert model.backbone.stage0[0].conv.out_channels == 16
    assert model.rpn_head.in_channels == 120
    assert model.rpn_head.rpn_conv[0].pw.conv.out_channels == 3 * 120
    assert model.roi_head.shared_head.out_channels == 224
    assert model.roi_head.bbox_head.fc_cls.in_features == 224


@pytest.mark.parametrize('path', [DEFAULT, FPN, MASKS], ids=lambda p: p.stem)
def test_one_norm_reaches_every_layer(path):
    model = build(path, norm_cfg=dict(type='GN', num_groups=8))
    kinds = {type(m) for m in model.modules() if 'Norm' in type(m).__name__}
    assert kinds == {nn.GroupNorm}


def test_one_width_reaches_every_part():
    model = build(DEFAULT, width=0.5)
    assert model.backbone.stage3[-1].pwl.conv.out_channels == 56  # of 112
    assert model.rpn_head.in_channels == 56
    assert model.roi_head.shared_head.out_channels == 80  # of 160


def test_a_variant_is_six_lines_of_config(tmp_path):
    trained = build(DEFAULT, arch='FBNetV3_A')  # with another norm
    torch.save(dict(model=to_d2go(trained.state_dict())), tmp_path / 'a.pth')
    path = tmp_path / 'mine.py'
    path.write_text(
        f"""_base_ = {str(DEFAULT)!r}
load_from = 'd2go://{tmp_path}/a.pth'
model = dict(arch='FBNetV3_A', norm_cfg=dict(type='GN', num_groups=8),
    backbone=dict(frozen_stages=2),
    roi_head=dict(bbox_roi_extractor=dict(output_size=8)),
    test_cfg=dict(rpn=dict(max_per_img=50)))"""
    )
    cfg = Config.fromfile(path)
    model = MODELS.build(cfg.model).train()
    load_safely()
    load_checkpoint(model, cfg.load_from, strict=True)
    first, second = model.backbone.stage0[0], trained.backbone.stage0[0]
    assert torch.equal(first.conv.weight, second.conv.weight)
    assert model.rpn_head.test_cfg.max_per_img == 50
    shapes = []
    model.roi_head.shared_head.register_forward_pre_hook(
        lambda head, args: shapes.append(args[0].shape[1:])
    )
    total_loss(model, 80).backward()
    assert shapes == [(112, 8, 8)]
    learning = {
        name.split('.')[1]
        for name, param in model.backbone.named_parameters('backbone')
        if param.grad is not None
    }
    assert learning == {'stage2', 'stage3'}


def test_a_neck_gets_the_channels_of_its_architecture():
    # D2Go's A with a fifth stage: 24, 32, 112, 200 at strides 4 to 32
    model = build(FPN, arch='FBNetV3_A_C5')
    assert model.neck.in_channels == [24, 32, 112, 200]
    assert model.rpn_head.in_channels == 128


def test_a_part_keeps_what_it_sets_itself():
    norm_cfg = dict(type='GN', num_groups=8)
    model = build(DEFAULT, backbone=dict(norm_cfg=norm_cfg))
    assert type(model.backbone.stage0[0].norm) is nn.GroupNorm
    assert isinstance(model.rpn_head.rpn_conv[0].pw.norm, nn.BatchNorm2d)


def test_other_detectors_are_left_alone():
    cfg = Config.fromfile(DEFAULT).model.to_dict()
    plain = share_settings(cfg)
    for key in ('arch', 'norm_cfg', 'width'):
        plain.pop(key)
    plain['type'] = 'FasterRCNN'
    assert share_settings(plain) == plain
    one, other = (MODELS.build(ConfigDict(c)) for c in (cfg, plain))
    assert one.state_dict().keys() == other.state_dict().keys()
