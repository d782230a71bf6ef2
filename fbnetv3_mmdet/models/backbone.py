"""The FBNetV3 trunk as an MMDetection backbone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor

from ..archs import Arch, get_arch, scale_channels
from .layers import build_stage
from .norms import BN, freeze, set_norm_eval


@MODELS.register_module()
class FBNetV3(BaseModule):
    """FBNetV3 backbone: stages ``stage0``, ``stage1``, ... of an architecture.

    Args:
        arch (str | dict): Key of ``ARCHS``, or an architecture as a dict (see
            :func:`fbnetv3_mmdet.archs.get_arch`).
        out_indices (Sequence[int]): Stages whose outputs are returned; stage
            i has stride 2 ** (i + 1) in the family's tables.
        frozen_stages (int): How many stages, counted from the image, neither
            get gradients nor update running statistics; 0 freezes none.
        norm_cfg (dict): Norm of every block: BN, SyncBN, NaiveSyncBN or GN.
        norm_eval (bool): Keep running statistics of all stages fixed.
        with_cp (bool): Recompute blocks in backward to save memory.
        width (float): Multiplier of all channels (D2Go's SCALE_FACTOR).
        in_channels (int): Channels of the image.
        init_cfg (dict, optional): Such as
            ``dict(type='Pretrained', checkpoint=...)``.

    Shape:
        Input (N, in_channels, H, W). Output i of the returned tuple:
        (N, C_i, ceil(H / s_i), ceil(W / s_i)), s_i the stage's stride.

    Raises:
        ValueError: A setting is unknown or out of range.

    Source: D2Go ``FBNetV2`` trunks at f4ac156.
    """

    def __init__(
        self,
        arch: str | Mapping | Arch = 'FBNetV3_A_dsmask',
        out_indices: Sequence[int] = (3,),
        frozen_stages: int = 0,
        norm_cfg: dict = BN,
        norm_eval: bool = False,
        with_cp: bool = False,
        width: float = 1.0,
        in_channels: int = 3,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        trunk = get_arch(arch).trunk
        _check_indices(out_indices, len(trunk))
        _check_frozen(frozen_stages, len(trunk))
        self.out_indices = tuple(out_indices)
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        self.stages = [f'stage{i}' for i in range(len(trunk))]
        for name, rows in zip(self.stages, trunk, strict=True):
            stage = build_stage(
                rows, in_channels, norm_cfg, width, with_cp, name
            )
            self.add_module(name, stage)
            in_channels = scale_channels(rows[-1].channels, width)
        self._freeze_stages()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the features of ``out_indices``, finest first."""
        feats = []
        for i, name in enumerate(self.stages):
            x = getattr(self, name)(x)
            if i in self.out_indices:
                feats.append(x)
        return tuple(feats)

    def train(self, mode: bool = True) -> FBNetV3:
        """Set training mode; what is frozen stays in eval mode."""
        super().train(mode)
        self._freeze_stages()
        if self.norm_eval:
            set_norm_eval(self)
        return self

    def _freeze_stages(self) -> None:
        for name in self.stages[: self.frozen_stages]:
            freeze(getattr(self, name))


def _check_indices(out_indices: Sequence[int], num_stages: int) -> None:
    if (
        not isinstance(out_indices, Sequence)
        or not out_indices
        or any(type(i) is not int for i in out_indices)
        or not set(out_indices) <= set(range(num_stages))
        or len(set(out_indices)) < len(out_indices)
    ):
        raise ValueError(
            f'out_indices={out_indices!r} must be a list of one or more of '
            f'the stages 0 ... {num_stages - 1} of this architecture, each '
            'once'
        )


def _check_frozen(frozen_stages: int, num_stages: int) -> None:
    # a bool would pass for 0 or 1
    if type(frozen_stages) is not int or not (
        0 <= frozen_stages <= num_stages
    ):
        raise ValueError(
            f'frozen_stages={frozen_stages!r} must be an integer from 0, '
            f'which freezes nothing, to {num_stages}, all stages of this '
            'architecture'
        )
