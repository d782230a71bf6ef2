_base_ = [
    '../_base_/models/gfl_fbnetv3-tiny-fpn.py',
    '../_base_/datasets/coco_detection.py',
    '../_base_/schedules/schedule_540k.py',
]

# MMDetection's rate for 32 images: a one-stage head bears no more.
optim_wrapper = dict(optimizer=dict(lr=0.02))
