_base_ = [
    '../_base_/models/faster-rcnn_fbnetv3-fpn.py',
    '../_base_/datasets/coco_detection_ms-640-800.py',
    '../_base_/schedules/schedule_450k.py',
]
