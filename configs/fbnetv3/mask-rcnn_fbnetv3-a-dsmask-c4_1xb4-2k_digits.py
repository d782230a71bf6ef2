_base_ = [
    '../_base_/models/mask-rcnn_fbnetv3-c4.py',
    '../_base_/datasets/digits_instance.py',
    '../_base_/schedules/schedule_2k.py',
]

# Boxes and masks dominate a step: fewer RoIs than COCO's 512 an image.
model = dict(
    roi_head=dict(
        bbox_head=dict(num_classes=10), mask_head=dict(num_classes=10)
    ),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=1000, max_per_img=500),
        rcnn=dict(sampler=dict(num=32, pos_fraction=0.5)),
    ),
)
