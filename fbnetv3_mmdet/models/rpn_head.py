"""The region proposal head made of FBNetV3 blocks."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from mmdet.models.dense_heads import RPNHead
from mmdet.registry import MODELS
from mmdet.structures.bbox import get_box_tensor, scale_boxes
from mmengine.structures import InstanceData
from torch import Tensor, nn

from ..archs import Arch, head_rows, scale_channels, trunk_channels
from ..mmcv_ops import load_kernels
from .layers import build_stage
from .norms import BN

# In photographs and drawn scenes, 30 proposals were found among the best 32 to
# 81 boxes.
NMS_BOXES_PER_PROPOSAL = 5


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

    def predict_by_feat(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        score_factors: list | None = None,
        batch_img_metas: list[dict] | None = None,
        cfg: dict | None = None,
        rescale: bool = False,
        with_nms: bool = True,
    ) -> list[InstanceData]:
        """Return the best proposals of each image, as D2Go does by logits.

        MMDetection ranks sigmoids, which in float32 are all 1 from 17 on, and
        one image after the other. Here all are ranked at once: a GPU is
        waited for once, and then by each image's NMS.

        Args:
            cls_scores: Per level (N, A, H, W), logits.
            bbox_preds: Per level (N, 4A, H, W).
            score_factors: Ignored, as in ``RPNHead``.
            batch_img_metas: Of each image, with ``img_shape``.
            cfg: Settings as ``test_cfg.rpn`` has them; None: those.
            rescale: Whether boxes are to be in pixels of the image files.
            with_nms: Nothing but True, as in ``RPNHead``.
        """
        if not self.use_sigmoid_cls:
            return super().predict_by_feat(
                cls_scores,
                bbox_preds,
                batch_img_metas=batch_img_metas,
                cfg=cfg,
                rescale=rescale,
                with_nms=with_nms,
            )
        cfg = self.test_cfg if cfg is None else cfg
        logits, boxes, level_ids = self._rank(cls_scores, bbox_preds, cfg)
        _fit(boxes, batch_img_metas, self.bbox_coder.clip_border, rescale)
        least = cfg.get('min_bbox_size', -1)
        large = torch.ones_like(logits, dtype=torch.bool)
        if least >= 0:
            large = (boxes[..., 2:] - boxes[..., :2] > least).all(-1)
        order = large.argsort(dim=1, descending=True, stable=True)
        numbers = large.sum(1).tolist()  # the wait for all
        cfg = cfg.copy()
        cfg['min_bbox_size'] = -1  # done
        found = []
        for i, number in enumerate(numbers):
            kept = order[i, :number]
            ranked = InstanceData(
                bboxes=boxes[i, kept],
                scores=logits[i, kept],
                level_ids=level_ids[kept],
            )
            found.append(self._suppress(ranked, cfg))
        return found

    def _rank(
        self, cls_scores: list[Tensor], bbox_preds: list[Tensor], cfg: dict
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the best of each level, level by level, best first.

        Returns:
            Logits (N, K), boxes (N, K, 4) that may lie outside, and of which
            level they are, (K,).
        """
        priors = self.prior_generator.grid_priors(
            [level.shape[-2:] for level in cls_scores],
            dtype=cls_scores[0].dtype,
            device=cls_scores[0].device,
        )
        limit = cfg.get('nms_pre', -1)
        levels = [
            _best(scores.detach(), deltas.detach(), anchors, limit)
            for scores, deltas, anchors in zip(
                cls_scores, bbox_preds, priors, strict=True
            )
        ]
        logits, deltas, priors = (
            torch.cat(parts, 1) for parts in zip(*levels, strict=True)
        )
        boxes = self.bbox_coder.decode(
            priors.reshape(-1, 4), deltas.reshape(-1, 4)
        )
        level_ids = [
            torch.full_like(level[0][0], i, dtype=torch.long)
            for i, level in enumerate(levels)
        ]
        boxes = get_box_tensor(boxes).view(*logits.shape, 4)
        return logits, boxes, torch.cat(level_ids)

    def _suppress(self, ranked: InstanceData, cfg: dict) -> InstanceData:
        """Return the best proposals of an image, with no more NMS than needed.

        MMDetection finds all that NMS keeps, some 600 of 1000 boxes, to use
        30. Only better boxes suppress a box: what NMS keeps of the best ones
        is the beginning of what it keeps of all.
        """
        hard = cfg.nms.get('type', 'nms') == 'nms'
        by_rank = hard and not cfg.nms.get('score_threshold')
        if not by_rank:  # it computes with scores
            ranked.scores = ranked.scores.sigmoid()
        # boxes of several levels are shifted by the largest of all
        one_level = self.prior_generator.num_levels == 1
        first = NMS_BOXES_PER_PROPOSAL * cfg.max_per_img
        few = ranked[:first] if hard and one_level else ranked
        found = self._bbox_post_process(few, cfg)
        if len(found) < cfg.max_per_img and len(few) < len(ranked):
            found = self._bbox_post_process(ranked, cfg)
        if by_rank:
            found.scores = found.scores.sigmoid()
        return found


def _fit(
    boxes: Tensor, metas: list[dict], clips: bool, rescales: bool
) -> None:
    """Clip boxes (N, K, 4) to their images, and scale them, in place."""
    for of_image, meta in zip(boxes, metas, strict=True):
        if clips:
            height, width = meta['img_shape'][:2]
            of_image[:, 0::2].clamp_(0, width)
            of_image[:, 1::2].clamp_(0, height)
        if rescales:
            scale = [1 / side for side in meta['scale_factor']]
            of_image.copy_(scale_boxes(of_image, scale))


def _best(
    logits: Tensor, deltas: Tensor, priors: Tensor, limit: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return logits, deltas and anchors of a level's best, best first.

    What is undefined comes last.

    Args:
        logits: (N, A, H, W).
        deltas: (N, 4A, H, W).
        priors: (HWA, 4), the anchors.
        limit: How many there are to be; at most 0 for all.
    """
    number = len(logits)
    logits = logits.permute(0, 2, 3, 1).reshape(number, -1)
    deltas = deltas.permute(0, 2, 3, 1).reshape(number, -1, 4)
    logits = logits.masked_fill(logits.isnan(), -torch.inf)
    logits, order = logits.sort(descending=True, stable=True)
    if limit > 0:
        logits, order = logits[:, :limit], order[:, :limit]
    index = order[..., None].expand(-1, -1, 4)
    return logits, deltas.gather(1, index), priors[order]
