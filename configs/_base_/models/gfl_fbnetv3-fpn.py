# A one-stage detector: GFL on three levels of a small feature pyramid.
_base_ = './retinanet_fbnetv3-fpn.py'

norm_cfg = dict(type='NaiveSyncBN')
channels = 64  # of every pyramid level

model = dict(
    type='GFL',
    data_preprocessor=dict(pad_size_divisor=32),
    backbone=dict(arch='FBNetV3_A_dsmask_C5', norm_cfg=norm_cfg),
    neck=dict(
        in_channels=[40, 112, 200],
        out_channels=channels,
        num_outs=3,
        norm_cfg=norm_cfg),
    bbox_head=dict(
        _delete_=True,
        type='GFLHead',
        num_classes=80,
        in_channels=channels,
        feat_channels=channels,
        stacked_convs=2,
        norm_cfg=norm_cfg,
        reg_max=8,
        anchor_generator=dict(
            type='AnchorGenerator',
            ratios=[1.0],
            octave_base_scale=5,  # 40, 80, 160 px
            scales_per_octave=1,
            strides=[8, 16, 32]),
        loss_cls=dict(
            type='QualityFocalLoss',
            use_sigmoid=True,
            beta=2.0,
            loss_weight=1.0),
        loss_dfl=dict(type='DistributionFocalLoss', loss_weight=0.25),
        loss_bbox=dict(type='GIoULoss', loss_weight=2.0)),
    train_cfg=dict(
        _delete_=True,
        assigner=dict(type='ATSSAssigner', topk=9),
        allowed_border=-1,
        pos_weight=-1,
        debug=False),
    test_cfg=dict(nms=dict(iou_threshold=0.6)))
