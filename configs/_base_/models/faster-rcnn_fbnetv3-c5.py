# FBNetV3OD with region features from the stride-32 stage (C5).
_base_ = './faster-rcnn_fbnetv3-c4.py'

model = dict(
    arch='FBNetV3_A_dsmask_C5',
    backbone=dict(out_indices=(4, )),
    rpn_head=dict(anchor_generator=dict(strides=[32])),
    roi_head=dict(bbox_roi_extractor=dict(featmap_strides=[32])))
