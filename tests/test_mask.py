"""The mask branch: hand-solved losses and masks, and where it branches."""

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fbnetv3_mmdet import FBNetV3MaskHead, FBNetV3RoIHead

# isort: split
# what follows needs mmcv's ops, which the package provides
from mmdet.registry import MODELS
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from mmengine.config import Config, ConfigDict
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

CONFIG = (
    Path(__file__).parents[1] / 'configs/fbnetv3'
    '/mask-rcnn_fbnetv3-a-dsmask-c4_8xb4-540k_coco.py'
)
TRAIN_CFG = ConfigDict(mask_size=28)


@pytest.fixture(scope='module')
def roi_head():
    init_default_scope('mmdet')
    model = MODELS.build(Config.fromfile(CONFIG).model).eval()
    return model.roi_head


def test_head_has_the_reference_layers_and_init():
    torch.manual_seed(0)
    head = FBNetV3MaskHead(num_classes=80)
    head.init_weights()
    blocks = sum(p.numel() for p in head.blocks.parameters())
    assert blocks == 806_720  # D2Go's
    assert not list(head.convs)
    weight, bias = head.conv_logits.weight, head.conv_logits.bias
    assert weight.shape == (80, 64, 1, 1)
    assert weight.std().item() == pytest.approx((2 / 80) ** 0.5, rel=0.05)
    assert (bias == 0).all()
    assert head.eval()(torch.randn(2, 112, 14, 14)).shape == (2, 80, 28, 28)


def test_predictor_reads_negative_features_too():
    head = FBNetV3MaskHead(num_classes=1).eval()
    torch.nn.init.ones_(head.conv_logits.weight)
    torch.nn.init.zeros_(head.conv_logits.bias)
    x = torch.randn(1, 112, 14, 14)
    with torch.no_grad():
        features = head.blocks(x)
        assert features.min() < 0
        torch.testing.assert_close(
            head(x), features.sum(1, keepdim=True), rtol=1e-4, atol=1e-5
        )


def test_masks_do_not_pass_the_shared_head(roi_head):
    feature = torch.randn(1, 112, 8, 8)
    rois = torch.tensor([[0.0, 8, 8, 100, 90]])
    with torch.no_grad():
        out = roi_head._mask_forward((feature,), rois)
        pooled = roi_head.mask_roi_extractor((feature,), rois)
        assert pooled.shape == (1, 112, 14, 14)
        assert torch.equal(out['mask_feats'], pooled)
        assert torch.equal(out['mask_preds'], roi_head.mask_head(pooled))


def test_masks_need_an_extractor_of_their_own():
    init_default_scope('mmdet')
    with pytest.raises(ValueError, match='mask_roi_extractor=None.*set '):
        FBNetV3RoIHead(mask_head=dict(type='FBNetV3MaskHead'))


def test_arch_without_mask_rows_is_named():
    with pytest.raises(ValueError, match="'FBNetV3_B' has no 'mask' rows"):
        FBNetV3MaskHead(arch='FBNetV3_B')


def left_half(kind):
    """Return a mask of columns 10 to 24 and rows 20 to 48."""
    if kind is PolygonMasks:
        corners = np.array([10.0, 20, 24, 20, 24, 48, 10, 48])
        return PolygonMasks([[corners]], 64, 64)
    pixels = np.zeros((1, 64, 64), np.uint8)
    pixels[:, 20:48, 10:24] = 1
    return BitmapMasks(pixels, 64, 64)


def sampled(boxes, labels):
    return SimpleNamespace(
        pos_priors=torch.tensor(boxes).reshape(-1, 4),
        pos_assigned_gt_inds=torch.zeros(len(boxes), dtype=torch.long),
        pos_gt_labels=torch.tensor(labels, dtype=torch.long),
    )


@pytest.mark.parametrize('kind', [BitmapMasks, PolygonMasks])
def test_loss_is_the_mean_over_the_objects_map(kind):
    head = FBNetV3MaskHead(num_classes=3)
    logits = torch.randn(1, 3, 28, 28)
    logits[0, 1, :, :14], logits[0, 1, :, 14:] = 2.0, 1.0
    out = head.loss_and_target(
        logits,
        [sampled([[10.0, 20, 38, 48]], [1])],
        [InstanceData(masks=left_half(kind))],
        TRAIN_CFG,
    )
    target = out['mask_targets']
    assert (target[0, :, :14] == 1).all() and (target[0, :, 14:] == 0).all()
    # inside: log(1 + exp(-2)); outside: log(1 + exp(1))
    expected = (math.log1p(math.exp(-2)) + math.log1p(math.exp(1))) / 2
    loss = out['loss_mask']['loss_mask']
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_loss_without_an_object_is_zero(roi_head):
    head = roi_head.train()
    feature = torch.randn(1, 112, 8, 8, requires_grad=True)
    logits = head._mask_forward((feature,), torch.zeros(0, 5))['mask_preds']
    out = head.mask_head.loss_and_target(
        logits,
        [sampled([], [])],
        [InstanceData(masks=left_half(BitmapMasks))],
        TRAIN_CFG,
    )
    loss = out['loss_mask']['loss_mask']
    assert loss.item() == 0
    loss.backward()
    # every worker of a distributed run must have every gradient
    assert all((p.grad == 0).all() for p in head.mask_head.parameters())
    assert (feature.grad == 0).all()
    head.eval()


def test_mask_lands_on_its_box_of_the_original_image():
    head = FBNetV3MaskHead(num_classes=3)
    logits = torch.full((1, 3, 28, 28), -5.0)
    logits[0, 2, :, :14] = 5.0  # the left half
    found = InstanceData(
        bboxes=torch.tensor([[10.0, 20, 38, 48]]),
        labels=torch.tensor([2]),
        scores=torch.ones(1),
    )
    (out,) = head.predict_by_feat(
        (logits,),
        [found],
        [dict(scale_factor=(0.5, 0.5), ori_shape=(128, 160))],
        ConfigDict(mask_thr_binary=0.5),
        rescale=True,
    )
    assert out.bboxes.tolist() == [[20, 40, 76, 96]]
    expected = torch.zeros(1, 128, 160, dtype=torch.bool)
    expected[0, 40:96, 20:48] = True
    assert torch.equal(out.masks, expected)
