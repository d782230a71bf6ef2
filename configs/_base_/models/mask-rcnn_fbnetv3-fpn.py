# FBNetV3IS with a feature pyramid.
_base_ = './faster-rcnn_fbnetv3-fpn.py'

model = dict(
    type='FBNetV3IS',
    data_preprocessor=dict(pad_mask=True),
    roi_head=dict(
        mask_roi_extractor=dict(
            type='FBNetV3RoIExtractor',
            output_size=14,
            featmap_strides=_base_.strides[1:],
            first_level=1,
        ),
        mask_head=dict(type='FBNetV3MaskHead', num_classes=80),
    ),
    train_cfg=dict(rcnn=dict(mask_size=28)),  # 14 px RoI, upsampled 2x
    test_cfg=dict(rcnn=dict(mask_thr_binary=0.5)),
)
