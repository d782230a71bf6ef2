"""The region proposal head made of FBNetV3 blocks."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from mmdet.models.dense_heads import RPNHead
from mmdet.registry import MODELS
from mmengine.structures import InstanceData
from torch import Tensor, nn

from ..archs import Arch, head_rows, scale_channels, trunk_channels
from ..mmcv_ops import load_kernels
from .layers import build_stage
from .norms import BN

# In photographs and drawn scenes, 30 proposals were found among the best 32 to
# 81 boxes.
NMS_BOXES_PER_PROPOSAL = 5
MIN_LOGIT = -1e4


@MODELS.register_module()
class FBNetV3RPNHead(RPNHead):
    """RPN head whose 3x3 convolution is replaced by FBNetV3 blocks.

    Args:
        arch (str | dict): Architecture whose ``rpn`` rows are built.
        in_channels (int, optional): Channels of the features; None: those of
            the architecture's last stage, as C4 detectors feed it.
        width (float): Multiplier of all channels (D2Go's SCALE_FACTOR).
        norm_cfg (dict): Norm of every block: BN, SyncBN, NaiveSyncBN or GN.
        init_cfg (dict, optional): By default the two predictors get
            N(0, 0.01) and the blocks their own.
        **kwargs: Settings of MMDetection's ``RPNHead``.

    Shape:
        Input: list of (N, in_channels, H, W). Output per level: logits
        (N, A, H, W) and box deltas (N, 4A, H, W), unitless, A the anchors of
        a cell.

    Raises:
        ValueError: ``arch`` or ``norm_cfg`` is wrong.

    Source: D2Go ``FBNetV2RpnHead`` at f4ac156.
    """

    def __init__(
        self,
        arch: str | Mapping | Arch = 'FBNetV3_A_dsmask',
        in_channels: int | None = None,
        width: float = 1.0,
        norm_cfg: dict = BN,
        init_cfg: dict | None = None,
        **kwargs,
    ) -> None:
        load_kernels()  # for NMS
        self.rows = head_rows(arch, 'rpn')
        self.width = width
        self.norm_cfg = norm_cfg
        if in_channels is None:
            in_channels = trunk_channels(arch, width)
        predictors = [dict(name='rpn_cls'), dict(name='rpn_reg')]
        super().__init__(
            in_channels=in_channels,
            feat_channels=scale_channels(self.rows[-1].channels, width),
            init_cfg=init_cfg
            or dict(type='Normal', layer=[], std=0.01, override=predictors),
            **kwargs,
        )

    def _init_layers(self) -> None:
        self.rpn_conv = build_stage(
            self.rows,
            self.in_channels,
            self.norm_cfg,
            self.width,
            name='rpn_conv',
        )
        num_anchors = self.num_base_priors
        self.rpn_cls = nn.Conv2d(
            self.feat_channels, num_anchors * self.cls_out_channels, 1
        )
        self.rpn_reg = nn.Conv2d(
            self.feat_channels, num_anchors * self.bbox_coder.encode_size, 1
        )

    def forward_single(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and deltas of one level; no ReLU before them."""
        x = self.rpn_conv(x)
        return self.rpn_cls(x), self.rpn_reg(x)

    def get_anchors(
        self, featmap_sizes: list, batch_img_metas: list[dict], **kwargs
    ) -> tuple[list, list]:
        """Return anchors, and flags that say which of them are valid.

        MMDetection leaves out the anchors in the padding of a batch's smaller
        pictures. Here they are valid: D2Go learns that nothing is there.
        """
        padded = [
            {**meta, 'pad_shape': meta['batch_input_shape']}
            for meta in batch_img_metas
        ]
        return super().get_anchors(featmap_sizes, padded, **kwargs)

    def _predict_by_feat_single(
        self, cls_score_list: list[Tensor], *args, **kwargs
    ) -> InstanceData:
        """Return the best proposals, as D2Go does by their logits.

        MMDetection ranks sigmoids, which in float32 are all 1 from 17 on.
        Those of negative numbers differ where the logits do.
        """
        if not self.use_sigmoid_cls:
            return super()._predict_by_feat_single(
                cls_score_list, *args, **kwargs
            )
        # one infinite or undefined logit must not spoil the others
        known = [x.masked_fill(x.isnan(), -torch.inf) for x in cls_score_list]
        infinite = max(x.max() for x in known) == torch.inf
        finite = [x.masked_fill(x == torch.inf, -torch.inf) for x in known]
        best = max(x.max() for x in finite).clamp(min=MIN_LOGIT)
        best = best + infinite  # above all others
        shifted = [x.clamp(max=best) - best for x in known]
        found = super()._predict_by_feat_single(shifted, *args, **kwargs)
        found.scores = (found.scores.logit() + best).sigmoid()
        return found

    def _bbox_post_process(
        self, results: InstanceData, cfg: dict, **kwargs
    ) -> InstanceData:
        """Return the best proposals, with no more NMS than they need.

        MMDetection finds all that NMS keeps, some 600 of 1000 boxes, to use
        30. Only better boxes suppress a box: what NMS keeps of the best ones
        is the beginning of what it keeps of all.
        """
        wanted = cfg.max_per_img
        first = NMS_BOXES_PER_PROPOSAL * wanted
        if len(results) > first and _best_first(results, cfg):
            few = results[:first]
            found = super()._bbox_post_process(few, cfg, **kwargs)
            if len(found) == wanted:
                return found
        return super()._bbox_post_process(results, cfg, **kwargs)


def _best_first(results: InstanceData, cfg: dict) -> bool:
    """Whether hard NMS would go through ``results`` in their order."""
    scores, levels = results.scores, results.level_ids
    hard = cfg.nms.get('type', 'nms') == 'nms'
    one_level = not levels.any()  # others are shifted by the largest box
    return hard and one_level and bool((scores[:-1] >= scores[1:]).all())
