"""Detectors of torchvision to compare with, of random weights."""

from __future__ import annotations

from pathlib import Path

import torch
import torchvision
from torch import nn

from fbnetv3_mmdet.deploy.latency import take_statistics

PEERS = {  # by name in torchvision: settings that make them comparable
    'fasterrcnn_mobilenet_v3_large_320_fpn': dict(min_size=224, max_size=320),
    # always 320 x 320; its own threshold passes nearly all of random scores
    'ssdlite320_mobilenet_v3_large': dict(score_thresh=0.05),
}
SHAPE = 3, 224, 320


def build_peer(name: str) -> nn.Module:
    """Return a detector of torchvision, the same each time."""
    torch.manual_seed(0)
    model = getattr(torchvision.models.detection, name)(
        weights=None, weights_backbone=None, **PEERS[name]
    )
    if hasattr(model, 'roi_heads'):  # to find things
        for parameter in model.roi_heads.box_predictor.parameters():
            nn.init.normal_(parameter, std=0.3)
    take_statistics(model)
    with torch.no_grad():
        model([*torch.rand(4, *SHAPE)])
    return model.eval()


def export_peer(name: str, path: Path) -> None:
    """Write a peer as an ONNX file, from pixels, 0 to 1, to boxes."""
    model = _Single(build_peer(name)).eval()
    torch.onnx.export(
        model,
        (torch.rand(SHAPE),),
        path,
        dynamo=False,  # it cannot follow torchvision's detectors
        opset_version=18,
        input_names=['image'],
    )


class _Single(nn.Module):
    """One image in, one dict of tensors out."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        return self.model([image])[0]
