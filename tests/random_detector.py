"""A detector of random weights that finds things, for tests of tools."""

from pathlib import Path

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

import fbnetv3_mmdet  # noqa: F401  fills MODELS

ROOT = Path(__file__).resolve().parents[1]
CONFIG = str(
    ROOT
    / 'configs/fbnetv3'
    / 'faster-rcnn_fbnetv3-a-dsmask-c4_1xb4-2k_digits.py'
)


def random_weights():
    """Return a state dict for ``CONFIG``, the same each time.

    One pass in training mode gives the norms statistics; without them the
    features vanish and all boxes and scores are equal.
    """
    init_default_scope('mmdet')
    torch.manual_seed(0)
    model = MODELS.build(Config.fromfile(CONFIG).model)
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # statistics of the one batch
    with torch.no_grad():
        (feature,) = model.backbone(60 * torch.randn(2, 3, 224, 320))
        model.rpn_head((feature,))
        model.roi_head.shared_head(F.interpolate(feature, (6, 6)))
        for parameter in model.roi_head.bbox_head.parameters():
            parameter.normal_(std=0.3)
    return model.state_dict()
