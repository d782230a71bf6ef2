_base_ = './mask-rcnn_fbnetv3-a-dsmask-c4_8xb4-540k_coco.py'

arch = 'FBNetV3_A'
model = dict(
    backbone=dict(arch=arch),
    rpn_head=dict(arch=arch),
    roi_head=dict(shared_head=dict(arch=arch), mask_head=dict(arch=arch)),
)
