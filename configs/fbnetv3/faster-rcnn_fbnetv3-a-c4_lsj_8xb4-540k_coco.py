_base_ = [
    '../_base_/models/faster-rcnn_fbnetv3-c4.py',
    '../_base_/datasets/coco_detection_lsj.py',
    '../_base_/schedules/schedule_540k.py',
]

model = dict(arch='FBNetV3_A')
