"""Region features by RoIAlign."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from mmdet.registry import MODELS
from torch import Tensor

from ..mmcv_ops import load_kernels

CANONICAL_SIZE = 224  # px: an object of this size is pooled at
CANONICAL_STRIDE = 16


@MODELS.register_module()
class FBNetV3RoIExtractor(SingleRoIExtractor):
    """RoIAlign through torchvision's kernel, from the level a region suits.

    Args:
        output_size (int): Pooler resolution P in cells, at least 2.
        featmap_strides (Sequence[int]): Image pixels per cell, a level each,
            finest first. With several, a region of sqrt(area) s comes from
            the level of stride 16 * 2 ** floor(log2(s / 224)), or the
            nearest there is.
        sampling_ratio (int): Samples per bin and axis; 0: one per cell.
        first_level (int): How many finer features to pass over, those that
            serve the RPN alone.
        init_cfg (dict, optional): As for any MMEngine module.

    Shape:
        Features: list of (N, C, H_i, W_i), in any memory format, those
        passed over included. RoIs (R, 5): image index, x1, y1, x2, y2 in
        pixels. Output (R, C, P, P).

    Raises:
        ValueError: ``output_size`` is not an integer of at least 2.

    Source: detectron2 ``ROIPooler`` with ``ROIAlignV2``.
    """

    def __init__(
        self,
        output_size: int = 6,
        featmap_strides: Sequence[int] = (16,),
        sampling_ratio: int = 0,
        first_level: int = 0,
        init_cfg: dict | None = None,
    ) -> None:
        if type(output_size) is not int or output_size < 2:
            raise ValueError(
                f'output_size={output_size!r} of FBNetV3RoIExtractor, the '
                'pooler resolution, must be an integer of at least 2; '
                'D2Go uses 6 for boxes and 14 for masks'
            )
        load_kernels()
        super().__init__(
            roi_layer=dict(
                type='RoIAlign',
                output_size=output_size,
                sampling_ratio=sampling_ratio,
                use_torchvision=True,
            ),
            out_channels=0,  # that of the features, whatever it is
            featmap_strides=list(featmap_strides),
            finest_scale=CANONICAL_SIZE
            * featmap_strides[0]
            // CANONICAL_STRIDE,
            init_cfg=init_cfg,
        )
        self.first_level = first_level

    @property
    def num_inputs(self) -> int:
        """How many features a RoI head passes, finest first."""
        return self.first_level + super().num_inputs

    def forward(
        self,
        feats: Sequence[Tensor],
        rois: Tensor,
        roi_scale_factor: float | None = None,
    ) -> Tensor:
        """Pool every region from its level.

        Args:
            feats (Sequence[Tensor]): ``num_inputs`` levels.
            rois (Tensor): (R, 5), in pixels.
            roi_scale_factor (float, optional): Enlarge regions about their
                centres.
        """
        # Coordinates would lose whole pixels in half precision, and mmcv's
        # kernels misread features that are not contiguous.
        dtype = torch.promote_types(feats[0].dtype, torch.float32)
        feats_in = feats[self.first_level :]
        levels = [feat.to(dtype).contiguous() for feat in feats_in]
        rois = rois.to(dtype)
        targets = self.map_roi_levels(rois, len(levels))
        if roi_scale_factor is not None:
            rois = self.roi_rescale(rois, roi_scale_factor)
        if len(levels) == 1:
            return self.roi_layers[0](levels[0], rois).type_as(feats[0])
        size = self.roi_layers[0].output_size
        pooled = levels[0].new_zeros(len(rois), levels[0].size(1), *size)
        for i, (layer, level) in enumerate(
            zip(self.roi_layers, levels, strict=True)
        ):
            # A level without regions takes part too: all workers of a
            # distributed run must use the same parameters.
            of_level = targets == i
            pooled[of_level] = layer(level, rois[of_level])
        return pooled.type_as(feats[0])
