_base_ = './faster-rcnn_fbnetv3-a-dsmask-c4_8xb4-540k_coco.py'

norm_cfg = dict(type='SyncBN')
model = dict(
    backbone=dict(norm_cfg=norm_cfg),
    rpn_head=dict(norm_cfg=norm_cfg),
    roi_head=dict(shared_head=dict(norm_cfg=norm_cfg)))
