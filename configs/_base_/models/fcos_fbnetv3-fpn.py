# A detector without anchors: FCOS with centre sampling.
_base_ = './retinanet_fbnetv3-fpn.py'

channels = _base_.channels

model = dict(
    type='FCOS',
    bbox_head=dict(
        _delete_=True,
        type='FCOSHead',
        num_classes=80,
        in_channels=channels,
        feat_channels=channels,
        stacked_convs=4,
        strides=[8, 16, 32, 64, 128],
        center_sampling=True,
        norm_on_bbox=True,
        centerness_on_reg=True,
        loss_bbox=dict(type='GIoULoss', loss_weight=1.0),
    ),
    train_cfg=None,
    test_cfg=dict(nms=dict(iou_threshold=0.6)),
)
