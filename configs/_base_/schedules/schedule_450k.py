_base_ = './schedule_540k.py'

# D2Go's recipe for detectors with a feature pyramid.
max_iters = 450000

train_cfg = dict(max_iters=max_iters)
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], T_max=max_iters, end=max_iters),
]
