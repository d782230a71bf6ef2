_base_ = './faster-rcnn_fbnetv3-a-dsmask-c4_8xb4-540k_coco.py'

arch = 'FBNetV3_B_light_large_3layers'
model = dict(
    backbone=dict(arch=arch, out_indices=(2,)),
    rpn_head=dict(arch=arch, anchor_generator=dict(strides=[8])),
    roi_head=dict(
        bbox_roi_extractor=dict(featmap_strides=[8]),
        shared_head=dict(arch=arch),
    ),
)
