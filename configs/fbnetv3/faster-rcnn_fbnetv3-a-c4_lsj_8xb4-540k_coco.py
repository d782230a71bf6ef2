_base_ = [
    '../_base_/models/faster-rcnn_fbnetv3-c4.py',
    '../_base_/datasets/coco_detection_lsj.py',
    '../_base_/schedules/schedule_540k.py',
]

arch = 'FBNetV3_A'
model = dict(
    backbone=dict(arch=arch),
    rpn_head=dict(arch=arch),
    roi_head=dict(shared_head=dict(arch=arch)),
)
