# A folder in COCO's format, with masks.
_base_ = './custom_detection.py'

# polygons or run lengths
masks = dict(type='LoadAnnotations', with_bbox=True, with_mask=True)
train_pipeline = [
    _base_.train_pipeline[0],
    masks,
    *_base_.train_pipeline[2:],
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline, with_mask=True))
val_dataloader = dict(dataset=dict(with_mask=True))
test_dataloader = val_dataloader

val_evaluator = dict(metric=['bbox', 'segm'])
test_evaluator = val_evaluator
