"""The region head of FBNetV3 detectors."""

from __future__ import annotations

from collections.abc import Sequence

from mmdet.models.roi_heads import StandardRoIHead
from mmdet.registry import MODELS
from mmengine.structures import InstanceData
from torch import Tensor


@MODELS.register_module()
class FBNetV3RoIHead(StandardRoIHead):
    """``StandardRoIHead`` with a mask branch beside the shared head.

    The box head takes its width from the shared head, so that a config that
    names an architecture needs no channel number: ``bbox_head.in_channels``
    is the shared head's ``out_channels`` unless set. Masks are predicted
    from regions pooled for them alone, which do not pass the shared head.

    Args:
        **kwargs: Settings of MMDetection's ``StandardRoIHead``.

    Raises:
        ValueError: There is a ``mask_head`` and no ``mask_roi_extractor``.
    """

    def init_bbox_head(
        self, bbox_roi_extractor: dict, bbox_head: dict
    ) -> None:
        """Build the box head and its RoI extractor."""
        if self.with_shared_head:
            width = dict(in_channels=self.shared_head.out_channels)
            bbox_head = {**width, **bbox_head}
        super().init_bbox_head(bbox_roi_extractor, bbox_head)

    def init_mask_head(
        self, mask_roi_extractor: dict | None, mask_head: dict
    ) -> None:
        """Build the mask head and its RoI extractor."""
        if mask_roi_extractor is None:
            raise ValueError(
                'mask_roi_extractor=None of FBNetV3RoIHead: masks need an '
                'extractor of their own beside the shared head; set '
                "dict(type='FBNetV3RoIExtractor', output_size=14), with the "
                "featmap_strides of the boxes'"
            )
        super().init_mask_head(mask_roi_extractor, mask_head)

    def predict_bbox(
        self, x, batch_img_metas, rpn_results_list, rcnn_test_cfg, **kwargs
    ) -> list[InstanceData]:
        """Return what is found, but for boxes that are empty when clipped."""
        found = super().predict_bbox(
            x, batch_img_metas, rpn_results_list, rcnn_test_cfg, **kwargs
        )
        if rcnn_test_cfg is None:  # boxes of all classes, to be merged
            return found
        return [one[_has_area(one.bboxes)] for one in found]

    def _mask_forward(self, x: Sequence[Tensor], rois: Tensor) -> dict:
        extractor = self.mask_roi_extractor
        mask_feats = extractor(x[: extractor.num_inputs], rois)
        mask_preds = self.mask_head(mask_feats)
        return dict(mask_preds=mask_preds, mask_feats=mask_feats)


def _has_area(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] > boxes[:, :2]).all(1)
