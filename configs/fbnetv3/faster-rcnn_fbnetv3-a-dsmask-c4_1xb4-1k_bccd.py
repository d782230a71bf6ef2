_base_ = [
    '../_base_/models/faster-rcnn_fbnetv3-c4.py',
    '../_base_/datasets/bccd_detection.py',
    '../_base_/schedules/schedule_1k.py',
]

# A picture holds up to 30 cells: more proposals at test than COCO's 30.
# The box stage dominates a step: fewer RoIs than COCO's 512 in training.
model = dict(
    roi_head=dict(bbox_head=dict(num_classes=3)),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=1000, max_per_img=500),
        rcnn=dict(sampler=dict(num=64, pos_fraction=0.5))),
    test_cfg=dict(rpn=dict(max_per_img=100)))
