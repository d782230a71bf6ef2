_base_ = './faster-rcnn_fbnetv3-a-dsmask-c4_8xb4-540k_coco.py'

arch = 'default_dsmask'
model = dict(
    backbone=dict(arch=arch),
    rpn_head=dict(arch=arch),
    roi_head=dict(shared_head=dict(arch=arch)),
)
