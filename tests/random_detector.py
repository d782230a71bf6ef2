"""Detectors of random weights that find things, for tests of tools."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import fbnetv3_mmdet  # noqa: F401  fills MODELS

# isort: split
# what follows needs mmcv's ops, which the package provides
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox2roi
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from torch.nn.modules.batchnorm import _BatchNorm

ROOT = Path(__file__).resolve().parents[1]
CONFIG = str(
    ROOT
    / 'configs/fbnetv3'
    / 'faster-rcnn_fbnetv3-a-dsmask-c4_1xb4-2k_digits.py'
)


def random_weights(config=CONFIG):
    """Return a state dict for a config's model, the same each time."""
    return random_model(Config.fromfile(config).model).state_dict()


def random_model(cfg, residual=1.0):
    """Build a two-stage detector of random weights.

    One pass in training mode gives the norms statistics; without them the
    features vanish and all boxes and scores are equal.

    Args:
        cfg: Of the model.
        residual: What the blocks with a skip add to it, of what they would;
            deep networks of random weights amplify rounding errors.
    """
    init_default_scope('mmdet')
    torch.manual_seed(0)
    model = revert_sync_batchnorm(MODELS.build(cfg))
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm)]
    for norm in norms:
        norm.momentum = None  # statistics of the one batch
    for block in model.modules():
        if getattr(block, 'residual', False):
            torch.nn.init.constant_(block.pwl.norm.weight, residual)
    roi_head = model.roi_head
    with torch.no_grad():
        feats = model.extract_feat(60 * torch.randn(2, 3, 224, 320))
        model.rpn_head(feats)
        roi_head.shared_head(F.interpolate(feats[0], (6, 6)))
        for parameter in roi_head.bbox_head.parameters():
            parameter.normal_(std=0.3)
        if roi_head.with_mask:
            roi_head.mask_head(F.interpolate(feats[0], (14, 14)))
            roi_head.mask_head.conv_logits.weight.normal_(std=0.3)
    return model.eval()


def silence_on_black(model, loud):
    """Let a detector of random weights find nothing in a black picture.

    Its regions become background, by the direction in which their features
    lie from those of a picture (H, W, 3) where things shall be found.
    """
    head = model.roi_head.bbox_head
    with torch.no_grad():
        black = region_features(model, np.zeros_like(loud))
        other = region_features(model, loud)
        toward = black.mean(0) - other.mean(0)
        toward /= toward.norm() ** 2
        far, near = (black @ toward).min(), (other @ toward).max()
        gain = 14 / (far - near)
        head.fc_cls.weight[-1] += gain * toward
        head.fc_cls.bias[-1] += 3 - gain * near


def region_features(model, picture):
    """Return what a detector's box head sees of a picture, (R, C)."""
    size = picture.shape[:2]
    sample = DetDataSample(metainfo=dict(img_shape=size))
    pixels = torch.from_numpy(picture).permute(2, 0, 1)
    data = dict(inputs=[pixels], data_samples=[sample])
    data = model.data_preprocessor(data)
    feats = model.extract_feat(data['inputs'])
    proposals = model.rpn_head.predict(feats, data['data_samples'])
    rois = bbox2roi([found.bboxes for found in proposals])
    return model.roi_head._bbox_forward(feats, rois)['bbox_feats'].flatten(1)
