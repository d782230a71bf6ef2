# From scratch or from a checkpoint in minutes on two CPU cores: the rate of
# 0.16 at 32 images, twice, for batches of 4.
_base_ = './schedule_540k.py'

# What tools/train.py has follow, in proportion, where train_cfg.max_iters is
# another: evaluation, warm-up, checkpoints, lines of the log.
following = {
    'train_cfg.max_iters': 1000,
    'train_cfg.val_interval': 250,
    'param_scheduler.0.end': 50,
    'default_hooks.checkpoint.interval': 100,
    'default_hooks.logger.interval': 20,
}

train_cfg = dict(
    max_iters=following['train_cfg.max_iters'],
    val_interval=following['train_cfg.val_interval'])
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.01,
        by_epoch=False,
        end=following['param_scheduler.0.end']),
    # to the last iteration
    dict(type='CosineAnnealingLR', eta_min=0, by_epoch=False)
]
optim_wrapper = dict(optimizer=dict(lr=0.04))
auto_scale_lr = dict(base_batch_size=4)

custom_hooks = [
    dict(
        type='EMAHook',
        ema_type='ExponentialMovingAverage',
        momentum=0.005,
        update_buffers=True,
        priority=49)
]
default_hooks = dict(
    logger=dict(interval=following['default_hooks.logger.interval']),
    checkpoint=dict(
        interval=following['default_hooks.checkpoint.interval'],
        max_keep_ckpts=2))
