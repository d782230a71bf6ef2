_base_ = './faster-rcnn_fbnetv3-a-dsmask-c4_1xb4-2k_digits.py'

arch = 'FBNetV3_A'
model = dict(
    backbone=dict(arch=arch),
    rpn_head=dict(arch=arch),
    roi_head=dict(shared_head=dict(arch=arch)),
)
