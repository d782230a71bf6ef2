# What a training does to its images between reading and packing them, by
# name; images in use are fitted into 320x224 px.
augmentation = 'flip'
augmentations = {
    'none': [
        dict(
            type='Resize', scale=(320, 224), keep_ratio=True,
            backend='pillow'),
    ],
    'flip': [
        dict(
            type='Resize', scale=(320, 224), keep_ratio=True,
            backend='pillow'),
        dict(type='RandomFlip', prob=0.5),
    ],
    # 3/4 to 5/4
    'multi-scale': [
        dict(
            type='RandomChoiceResize',
            scales=[(40 * n, 28 * n) for n in range(6, 11)],
            keep_ratio=True,
            backend='pillow'),
        dict(type='RandomFlip', prob=0.5),
    ],
    # D2Go's large scale jitter: a window of 320x224 px on an image of a tenth
    # to twice that size. Upright images are fitted to 224x320, as in all of
    # MMDetection; D2Go fits them into 320x224, too.
    'jitter': [
        dict(
            type='RandomResize',
            scale=(320, 224),
            ratio_range=(0.1, 2.0),
            keep_ratio=True,
            backend='pillow'),
        dict(type='RandomFlip', prob=0.5),
        dict(
            type='RandomCrop',
            crop_type='absolute',
            crop_size=(320, 224),
            allow_negative_crop=True),
        dict(type='FilterAnnotations', min_gt_bbox_wh=(1e-2, 1e-2)),
        dict(type='Pad', size=(320, 224), pad_val=dict(img=(128, 128, 128))),
    ],
}
