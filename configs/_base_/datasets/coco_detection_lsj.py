# COCO with D2Go's large scale jitter: a window of 320x224 px on an image of
# a tenth to twice that size. Upright images are fitted to 224x320, as in all
# of MMDetection; D2Go fits them into 320x224, too.
_base_ = './coco_detection.py'

size = (320, 224)  # width, height
train_pipeline = [
    *_base_.train_pipeline[:2],
    dict(
        type='RandomResize',
        scale=size,
        ratio_range=(0.1, 2.0),
        keep_ratio=True,
        backend='pillow',
    ),
    dict(type='RandomFlip', prob=0.5),
    dict(
        type='RandomCrop',
        crop_type='absolute',
        crop_size=size,
        allow_negative_crop=True,
    ),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(1e-2, 1e-2)),
    dict(type='Pad', size=size, pad_val=dict(img=(128, 128, 128))),
    _base_.train_pipeline[-1],
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
