_base_ = '../default_runtime.py'

# D2Go's recipe for batches of 32 images.
max_iters = 540000

train_cfg = dict(
    type='IterBasedTrainLoop', max_iters=max_iters, val_interval=20000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

param_scheduler = [
    # full rate at iteration 1000: MMEngine counts ``end`` out
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, end=1001),
    dict(
        type='CosineAnnealingLR',
        eta_min=0,
        T_max=max_iters,
        end=max_iters,
        by_epoch=False)
]
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.16, momentum=0.9, weight_decay=0.0001),
    paramwise_cfg=dict(norm_decay_mult=0.0))
auto_scale_lr = dict(enable=False, base_batch_size=32)

custom_hooks = [dict(type='D2GoEMAHook', momentum=0.0002, priority=49)]
default_hooks = dict(
    logger=dict(log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=20000, max_keep_ckpts=3))
log_processor = dict(by_epoch=False)
