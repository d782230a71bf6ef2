_base_ = './schedule_1k.py'

following = {'train_cfg.max_iters': 2000, 'train_cfg.val_interval': 500}

train_cfg = dict(
    max_iters=following['train_cfg.max_iters'],
    val_interval=following['train_cfg.val_interval'])
