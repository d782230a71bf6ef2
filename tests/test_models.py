"""Heads, extractor and detector: hand-solved inputs and wrong settings."""

import copy

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from test_configs import DEFAULT

from fbnetv3_mmdet import (
    FBNetV3RoIExtractor,
    FBNetV3RoIHead,
    FBNetV3RPNHead,
    FBNetV3SharedHead,
)

RAMP = torch.arange(16.0).expand(1, 1, 16, 16)  # value = column


def test_roi_align_reads_bin_centres():
    roi = torch.tensor([[0, 64, 64, 192, 192.0]])  # columns 4 to 12
    out = FBNetV3RoIExtractor(output_size=2, featmap_strides=[16])(
        (RAMP,), roi
    )
    # two 4-column bins; pixel centres lie half a cell in
    assert out[0, 0, 0].tolist() == pytest.approx([5.5, 9.5])


def test_roi_align_in_every_memory_format_and_its_gradient():
    torch.manual_seed(0)
    extractor = FBNetV3RoIExtractor(output_size=3)
    feat = torch.randn(2, 4, 9, 7)
    rois = torch.tensor([[0, 3.0, 5, 90, 70], [1, 20, 1, 50, 140]])
    results = []
    for layout in (
        feat,
        feat.contiguous(memory_format=torch.channels_last),
        feat.transpose(2, 3).contiguous().transpose(2, 3),
    ):
        x = layout.clone(memory_format=torch.preserve_format).requires_grad_()
        out = extractor((x,), rois)
        (out * torch.arange(9.0).view(3, 3)).sum().backward()
        results.append((out, x.grad))
    for out, grad in results[1:]:
        torch.testing.assert_close(out, results[0][0])
        torch.testing.assert_close(grad, results[0][1])


def test_half_precision_features_do_not_move_the_regions():
    feat = torch.arange(64.0).expand(1, 1, 64, 64)
    roi = torch.tensor([[0, 517.0, 0, 581.0, 64]])  # bfloat16 rounds to 516
    out = FBNetV3RoIExtractor(output_size=2)((feat.bfloat16(),), roi)
    assert out.dtype == torch.bfloat16
    # columns 32.3125 to 36.3125, bins of 2: centres 32.8125 and 34.8125
    assert out[0, 0, 0].tolist() == pytest.approx([32.75, 34.75])


def test_no_region_gives_no_feature_and_keeps_the_graph():
    feat = torch.randn(1, 5, 4, 4, requires_grad=True)
    out = FBNetV3RoIExtractor()((feat,), torch.zeros(0, 5))
    assert out.shape == (0, 5, 6, 6)
    out.sum().backward()
    assert feat.grad.abs().max() == 0


def test_levels_are_those_of_the_reference():
    # p3 to p6; SPEC: clamp(floor(4 + log2(sqrt(area) / 224)), 3, 6)
    strides = [8, 16, 32, 64]
    extractor = FBNetV3RoIExtractor(2, strides)
    feats = [torch.full((1, 1, 64, 64), float(s)) for s in strides]
    sides = [10, 111, 223, 225, 447, 449, 895, 897, 1800]
    rois = torch.tensor([[0.0, 0, 0, side, side] for side in sides])
    pooled = extractor(feats, rois)[:, 0, 0, 0].tolist()
    assert pooled == [8, 8, 8, 16, 16, 32, 32, 64, 64]


@pytest.mark.parametrize('output_size', [1, 0, 6.0, 'six', True])
def test_wrong_pooler_resolution_is_named(output_size):
    with pytest.raises(ValueError, match='output_size=.*at least 2'):
        FBNetV3RoIExtractor(output_size=output_size)


@pytest.mark.parametrize('resolution', [2, 3, 6, 7, 14])
def test_shared_head_takes_any_resolution(resolution):
    head = FBNetV3SharedHead()
    assert head.out_channels == 160
    out = head(torch.zeros(3, 112, resolution, resolution))
    assert out.shape == (3, 160, 1, 1)


@pytest.mark.parametrize('kind', ['BN', 'SyncBN', 'NaiveSyncBN', 'GN'])
def test_frozen_shared_head_stays(kind):
    norm_cfg = dict(type=kind)
    if kind == 'GN':
        norm_cfg['num_groups'] = 8
    head = FBNetV3SharedHead(norm_cfg=norm_cfg, frozen=True).train()
    before = copy.deepcopy(head.state_dict())
    head.eval().train()
    head(torch.randn(2, 112, 6, 6))
    assert not any(p.requires_grad for p in head.parameters())
    for name, value in head.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_shared_head_norm_eval():
    head = FBNetV3SharedHead(norm_eval=True).train()
    before = copy.deepcopy(head.state_dict())
    head(torch.randn(2, 112, 6, 6))
    for name, value in head.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(p.requires_grad for p in head.parameters())


def test_rpn_head_has_the_reference_layers_and_init():
    torch.manual_seed(0)
    head = FBNetV3RPNHead(
        anchor_generator=dict(
            type='AnchorGenerator', strides=[16], scales=[4], ratios=[1.0]
        )
    )
    before = head.rpn_conv[0].pw.conv.weight.clone()
    head.init_weights()
    logits, deltas = head([torch.randn(2, 112, 5, 7)])
    assert logits[0].shape == (2, 1, 5, 7)
    assert deltas[0].shape == (2, 4, 5, 7)
    blocks = sum(p.numel() for p in head.rpn_conv.parameters())
    assert blocks == 338_016  # D2Go's
    assert head.rpn_reg.weight.std().item() == pytest.approx(0.01, rel=0.1)
    # init_weights draws the blocks' weights anew, with their own spread
    block = head.rpn_conv[0].pw.conv.weight
    assert block.std().item() == pytest.approx(before.std().item(), rel=0.05)


def test_box_head_takes_the_shared_heads_width():
    init_default_scope('mmdet')
    cfg = dict(
        bbox_roi_extractor=dict(type='FBNetV3RoIExtractor'),
        shared_head=dict(type='FBNetV3SharedHead', arch='FBNetV3_A'),
        bbox_head=dict(
            type='BBoxHead',
            with_avg_pool=True,
            roi_feat_size=1,
            num_classes=3,
        ),
    )
    head = MODELS.build(dict(type='FBNetV3RoIHead', **copy.deepcopy(cfg)))
    assert isinstance(head, FBNetV3RoIHead)
    assert head.bbox_head.fc_cls.in_features == 200
    cfg['bbox_head']['in_channels'] = 7  # the user's word counts
    head = MODELS.build(dict(type='FBNetV3RoIHead', **cfg))
    assert head.bbox_head.fc_cls.in_features == 7


def test_boxes_outside_the_picture_are_not_found():
    cfg = Config.fromfile(DEFAULT).model
    head = MODELS.build({**cfg.roi_head, 'test_cfg': cfg.test_cfg.rcnn}).eval()
    for layer in (head.bbox_head.fc_cls, head.bbox_head.fc_reg):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    head.bbox_head.fc_cls.bias.data[0] = 5  # everything is a 0
    head.bbox_head.fc_reg.bias.data[0] = 10  # one width to the right
    boxes = torch.tensor([[0.0, 0, 40, 40], [280, 40, 320, 80]])
    (found,) = head.predict_bbox(
        (torch.zeros(1, 112, 14, 20),),
        [dict(img_shape=(224, 320))],
        [InstanceData(bboxes=boxes)],
        head.test_cfg,
    )
    assert found.bboxes.tolist() == [[40, 0, 80, 40]]
    assert found.labels.tolist() == [0]
