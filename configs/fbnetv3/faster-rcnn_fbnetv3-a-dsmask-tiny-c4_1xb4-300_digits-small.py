# A training of half a minute, for searches: half the size, one class.
_base_ = './faster-rcnn_fbnetv3-a-dsmask-tiny-c4_1xb4-2k_digits.py'

max_iters = 300
metainfo = dict(classes=('digit', ))
resize = dict(
    type='Resize', scale=(160, 112), keep_ratio=True, backend='pillow')
train_pipeline = [
    *_base_.train_pipeline[:2], resize, *_base_.train_pipeline[2:]
]
test_pipeline = [
    _base_.test_pipeline[0], resize, *_base_.test_pipeline[2:]
]

model = dict(
    rpn_head=dict(anchor_generator=dict(scales=[1, 2, 3, 4, 5])),
    roi_head=dict(bbox_head=dict(num_classes=1)))
train_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        num_images=600, metainfo=metainfo, pipeline=train_pipeline))
val_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(num_images=80, metainfo=metainfo, pipeline=test_pipeline))
test_dataloader = val_dataloader

following = {'train_cfg.max_iters': max_iters, 'train_cfg.val_interval': 100}
train_cfg = dict(max_iters=max_iters, val_interval=100)
param_scheduler = [
    _base_.param_scheduler[0],
    dict(
        type='CosineAnnealingLR',
        eta_min=0,
        T_max=max_iters,
        end=max_iters,
        by_epoch=False)
]
# An average of the last 20 weights: one of 200 would hold the random ones.
custom_hooks = [
    dict(
        type='EMAHook',
        ema_type='ExponentialMovingAverage',
        momentum=0.05,
        update_buffers=True,
        priority=49)
]
default_hooks = dict(checkpoint=dict(interval=100))
