_base_ = [
    '../_base_/models/faster-rcnn_fbnetv3-c5.py',
    '../_base_/datasets/coco_detection.py',
    '../_base_/schedules/schedule_540k.py',
]
