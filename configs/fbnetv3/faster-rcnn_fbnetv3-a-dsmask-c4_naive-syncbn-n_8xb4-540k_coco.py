_base_ = './faster-rcnn_fbnetv3-a-dsmask-c4_8xb4-540k_coco.py'

# Workers weigh by their number of images, which may differ or be 0.
norm_cfg = dict(type='NaiveSyncBN', stats_mode='N')
model = dict(
    backbone=dict(norm_cfg=norm_cfg),
    rpn_head=dict(norm_cfg=norm_cfg),
    roi_head=dict(shared_head=dict(norm_cfg=norm_cfg)))
