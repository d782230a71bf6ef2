_base_ = [
    '../_base_/models/mask-rcnn_fbnetv3-c4.py',
    '../_base_/datasets/custom_instance.py',
    '../_base_/schedules/schedule_1k.py',
]

# Yours: a folder with images/, train.json and val.json in COCO's format, and
# its classes, named as in the files.
data_root = 'data/custom/'
classes = ('cat', 'dog')

# COCO weights; layers that depend on the classes start anew.
load_from = 'd2go://mask_rcnn_fbnetv3a_dsmask_C4'
model = dict(
    backbone=dict(frozen_stages=2),
    roi_head=dict(
        bbox_head=dict(num_classes=len(classes)),
        mask_head=dict(num_classes=len(classes)),
    ),
    # COCO's 512 RoIs an image take long without a GPU; 30 proposals are few
    # for a crowded picture.
    train_cfg=dict(rcnn=dict(sampler=dict(num=64, pos_fraction=0.5))),
    test_cfg=dict(rpn=dict(max_per_img=100)),
)
optim_wrapper = dict(optimizer=dict(lr=0.01))
# With load_from=None, the tools set these to the second value.
from_scratch = {
    'model.backbone.frozen_stages': (2, 0),
    'optim_wrapper.optimizer.lr': (0.01, 0.04),
}

dataset = dict(data_root=data_root, metainfo=dict(classes=classes))
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = val_dataloader
