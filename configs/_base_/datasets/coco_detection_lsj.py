# COCO with D2Go's large scale jitter.
_base_ = ['./coco_detection.py', './augmentations.py']

augmentation = 'jitter'
train_pipeline = [
    *_base_.train_pipeline[:2],
    *_base_.augmentations[augmentation],
    _base_.train_pipeline[-1],
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
