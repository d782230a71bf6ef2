"""The region head of FBNetV3 detectors."""

from __future__ import annotations

from mmdet.models.roi_heads import StandardRoIHead
from mmdet.registry import MODELS


@MODELS.register_module()
class FBNetV3RoIHead(StandardRoIHead):
    """``StandardRoIHead`` whose box head takes its width from the shared head.

    A config that names an architecture then needs no channel number:
    ``bbox_head.in_channels`` is the shared head's ``out_channels`` unless set.

    Args:
        **kwargs: Settings of MMDetection's ``StandardRoIHead``.
    """

    def init_bbox_head(
        self, bbox_roi_extractor: dict, bbox_head: dict
    ) -> None:
        """Build the box head and its RoI extractor."""
        if self.with_shared_head:
            width = dict(in_channels=self.shared_head.out_channels)
            bbox_head = {**width, **bbox_head}
        super().init_bbox_head(bbox_roi_extractor, bbox_head)
