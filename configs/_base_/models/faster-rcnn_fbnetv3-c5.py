# FBNetV3OD with region features from the stride-32 stage (C5).
_base_ = './faster-rcnn_fbnetv3-c4.py'

arch = 'FBNetV3_A_dsmask_C5'
model = dict(
    backbone=dict(arch=arch, out_indices=(4,)),
    rpn_head=dict(arch=arch, anchor_generator=dict(strides=[32])),
    roi_head=dict(
        bbox_roi_extractor=dict(featmap_strides=[32]),
        shared_head=dict(arch=arch),
    ),
)
