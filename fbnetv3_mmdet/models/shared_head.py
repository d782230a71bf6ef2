"""The C4 region stage."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor

from ..archs import Arch, head_rows, scale_channels, trunk_channels
from .layers import build_stage
from .norms import BN, freeze, set_norm_eval


@MODELS.register_module()
class FBNetV3SharedHead(BaseModule):
    """FBNetV3 blocks that turn a pooled region into one box feature.

    It ends in global average pooling, so the pooler's resolution can change
    without touching anything else.

    Args:
        arch (str | dict): Architecture whose ``bbox`` rows are built.
        in_channels (int, optional): Channels of the pooled features; None:
            those of the architecture's last stage.
        width (float): Multiplier of all channels (D2Go's SCALE_FACTOR).
        norm_cfg (dict): Norm of every block: BN, SyncBN, NaiveSyncBN or GN.
        norm_eval (bool): Keep running statistics fixed.
        frozen (bool): Neither gradients nor running-statistics updates.
        with_cp (bool): Recompute blocks in backward to save memory.
        init_cfg (dict, optional): As for any MMEngine module.

    Shape:
        Input (R, in_channels, P, P), R regions of pooler resolution P.
        Output (R, out_channels, 1, 1).

    Raises:
        ValueError: ``arch`` or ``norm_cfg`` is wrong.

    Source: D2Go ``FBNetV2RoIBoxHead`` at f4ac156.
    """

    def __init__(
        self,
        arch: str | Mapping | Arch = 'FBNetV3_A_dsmask',
        in_channels: int | None = None,
        width: float = 1.0,
        norm_cfg: dict = BN,
        norm_eval: bool = False,
        frozen: bool = False,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        rows = head_rows(arch, 'bbox')
        if in_channels is None:
            in_channels = trunk_channels(arch, width)
        self.out_channels = scale_channels(rows[-1].channels, width)
        self.norm_eval = norm_eval
        self.frozen = frozen
        self.blocks = build_stage(
            rows, in_channels, norm_cfg, width, with_cp, 'shared_head'
        )
        if frozen:
            freeze(self)

    def forward(self, x: Tensor) -> Tensor:
        """Return one pooled feature a region."""
        return F.adaptive_avg_pool2d(self.blocks(x), 1)

    def train(self, mode: bool = True) -> FBNetV3SharedHead:
        """Set training mode; what is frozen stays in eval mode."""
        super().train(mode and not self.frozen)
        if self.norm_eval:
            set_norm_eval(self)
        return self
