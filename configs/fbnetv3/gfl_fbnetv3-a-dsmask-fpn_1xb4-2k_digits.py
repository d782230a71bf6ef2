_base_ = [
    '../_base_/models/gfl_fbnetv3-fpn.py',
    '../_base_/datasets/digits_detection.py',
    '../_base_/schedules/schedule_2k_one-stage.py',
]

model = dict(bbox_head=dict(num_classes=10))
