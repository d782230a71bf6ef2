# COCO with masks, at D2Go's input size.
_base_ = './coco_detection.py'

# Polygons are rasterised once, inside a region, as the reference does it.
masks = dict(
    type='LoadAnnotations', with_bbox=True, with_mask=True, poly2mask=False
)
train_pipeline = [
    _base_.train_pipeline[0],
    masks,
    *_base_.train_pipeline[2:],
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

val_evaluator = dict(metric=['bbox', 'segm'])
test_evaluator = val_evaluator
