_base_ = './schedule_2k.py'

# Half the rate of the two-stage detectors, and twice their warm-up.
following = {'param_scheduler.0.end': 100}
optim_wrapper = dict(optimizer=dict(lr=0.02), clip_grad=dict(max_norm=10))
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.01,
        by_epoch=False,
        end=following['param_scheduler.0.end']),
    _base_.param_scheduler[1],
]
