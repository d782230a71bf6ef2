# COCO at D2Go's input size: shorter side 224, longer at most 320. The types
# are MMDetection's: its files are sound, and CheckedCocoDataset takes 3.5
# times as long to read 118,000 images, in every process.
_base_ = 'mmdet::_base_/datasets/coco_detection.py'

# Pillow smooths where it shrinks, as the reference does; OpenCV does not.
resize = dict(
    type='Resize', scale=(320, 224), keep_ratio=True, backend='pillow')
train_pipeline = [
    dict(type='LoadImageFromFile', backend_args=None),
    dict(type='LoadAnnotations', with_bbox=True),
    resize,
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs')
]
test_pipeline = [
    dict(type='LoadImageFromFile', backend_args=None),
    resize,
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PackDetInputs',
        # the objects, for an evaluator that reads no annotation file
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
                   'scale_factor', 'instances'))
]
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    pin_memory=True,
    sampler=dict(type='InfiniteSampler'),
    dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(
    pin_memory=True, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
