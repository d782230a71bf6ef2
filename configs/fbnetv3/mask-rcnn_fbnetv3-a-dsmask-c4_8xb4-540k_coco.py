_base_ = [
    '../_base_/models/mask-rcnn_fbnetv3-c4.py',
    '../_base_/datasets/coco_instance.py',
    '../_base_/schedules/schedule_540k.py',
]
