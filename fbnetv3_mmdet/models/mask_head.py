"""The mask head made of FBNetV3 blocks."""

from __future__ import annotations

from collections.abc import Mapping

from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.registry import MODELS
from torch import Tensor

from ..archs import Arch, head_rows, scale_channels, trunk_channels
from .layers import build_stage
from .norms import BN


@MODELS.register_module()
class FBNetV3MaskHead(FCNMaskHead):
    """FBNetV3 blocks and a 1x1 convolution that gives a mask a class.

    Targets, loss and pasting are those of ``FCNMaskHead``. Every ``mask`` row
    of the family doubles the pooler's resolution, 14 to 28 cells: set
    ``train_cfg.rcnn.mask_size`` to that.

    Args:
        arch (str | dict): Architecture whose ``mask`` rows are built.
        in_channels (int, optional): Channels of the pooled features; None:
            those of the architecture's last stage, as C4 detectors feed it.
        num_classes (int): Masks a region.
        width (float): Multiplier of all channels (D2Go's SCALE_FACTOR).
        norm_cfg (dict): Norm of every block: BN, SyncBN, NaiveSyncBN or GN.
        **kwargs: ``class_agnostic``, ``predictor_cfg`` and ``loss_mask`` of
            MMDetection's ``FCNMaskHead``.

    Shape:
        Input (R, in_channels, P, P), R regions of pooler resolution P.
        Output: logits (R, num_classes, 2P, 2P), 0 at a mask's border.

    Raises:
        ValueError: ``arch`` or ``norm_cfg`` is wrong, or the architecture
            has no ``mask`` rows.

    Source: D2Go ``FBNetV2RoIMaskHead`` at f4ac156.
    """

    def __init__(
        self,
        arch: str | Mapping | Arch = 'FBNetV3_A_dsmask',
        in_channels: int | None = None,
        num_classes: int = 80,
        width: float = 1.0,
        norm_cfg: dict = BN,
        **kwargs,
    ) -> None:
        rows = head_rows(arch, 'mask')
        if in_channels is None:
            in_channels = trunk_channels(arch, width)
        super().__init__(
            num_convs=0,
            # without convolutions, what the predictor takes
            in_channels=scale_channels(rows[-1].channels, width),
            num_classes=num_classes,
            upsample_cfg=dict(type=None),
            **kwargs,
        )
        self.in_channels = in_channels
        self.blocks = build_stage(
            rows, in_channels, norm_cfg, width, name='mask_head'
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return logits; no ReLU before the predictor."""
        return self.conv_logits(self.blocks(x))
