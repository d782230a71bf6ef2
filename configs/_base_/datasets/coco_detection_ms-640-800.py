# COCO at detectron2's input size: longer side at most 1333.
_base_ = './coco_detection.py'

train_resize = dict(
    type='RandomChoiceResize',
    scales=[(1333, side) for side in range(640, 801, 32)],
    keep_ratio=True,
    backend='pillow',
)
test_resize = dict(
    type='Resize', scale=(1333, 800), keep_ratio=True, backend='pillow'
)
train_pipeline = [
    *_base_.train_pipeline[:2],
    train_resize,
    *_base_.train_pipeline[3:],
]
test_pipeline = [
    _base_.test_pipeline[0],
    test_resize,
    *_base_.test_pipeline[2:],
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
