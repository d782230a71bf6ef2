_base_ = './schedule_1k.py'

max_iters = 1500

train_cfg = dict(max_iters=max_iters, val_interval=500)
param_scheduler = [
    _base_.param_scheduler[0],
    dict(
        type='CosineAnnealingLR',
        eta_min=0,
        T_max=max_iters,
        end=max_iters,
        by_epoch=False)
]
custom_hooks = [dict(_base_.custom_hooks[0], momentum=0.01)]
