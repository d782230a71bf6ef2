# FBNetV3OD: region features from the stride-16 stage (C4).
# As in D2Go, a limit to how much boxes grow, and none to how much they shrink.
clamp = dict(add_ctr_clamp=True, ctr_clamp=1_000_000)  # px: no limit either

model = dict(
    type='FBNetV3OD',
    # of the backbone and of all heads, unless one has its own
    arch='FBNetV3_A_dsmask',
    norm_cfg=dict(type='NaiveSyncBN'),
    width=1.0,
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[103.53, 116.28, 123.675],  # BGR, 0 to 255
        std=[1.0, 1.0, 1.0],
        bgr_to_rgb=False,
        pad_size_divisor=1,
        non_blocking=True),  # copies from pinned memory
    backbone=dict(
        type='FBNetV3',
        out_indices=(3, ),
        frozen_stages=0),
    rpn_head=dict(
        type='FBNetV3RPNHead',
        anchor_generator=dict(
            type='AnchorGenerator',
            strides=[16],
            base_sizes=[16],
            scales=[2, 4, 6, 8, 10],  # 32, 64, 96, 128, 160 px
            ratios=[0.5, 1.0, 2.0],  # height / width
            scale_major=False,  # sizes outermost, as in D2Go
            center_offset=0.0),
        bbox_coder=dict(
            type='DeltaXYWHBBoxCoder',
            target_means=[0.0, 0.0, 0.0, 0.0],
            target_stds=[1.0, 1.0, 1.0, 1.0],
            **clamp),
        loss_cls=dict(
            type='CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0),
        loss_bbox=dict(type='L1Loss', loss_weight=1.0)),
    roi_head=dict(
        type='FBNetV3RoIHead',
        bbox_roi_extractor=dict(
            type='FBNetV3RoIExtractor', output_size=6, featmap_strides=[16]),
        shared_head=dict(type='FBNetV3SharedHead', frozen=False),
        bbox_head=dict(
            type='BBoxHead',
            with_avg_pool=True,
            roi_feat_size=1,
            num_classes=80,
            reg_class_agnostic=False,
            bbox_coder=dict(
                type='DeltaXYWHBBoxCoder',
                target_means=[0.0, 0.0, 0.0, 0.0],
                target_stds=[0.1, 0.1, 0.2, 0.2],
                **clamp),
            loss_cls=dict(
                type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
            loss_bbox=dict(type='L1Loss', loss_weight=1.0))),
    train_cfg=dict(
        rpn=dict(
            assigner=dict(
                type='MaxIoUAssigner',
                pos_iou_thr=0.7,
                neg_iou_thr=0.3,
                # The anchor an object overlaps most is positive however
                # small the overlap, but not at none.
                min_pos_iou=1e-6,
                match_low_quality=True,
                ignore_iof_thr=-1),
            sampler=dict(
                type='RandomSampler',
                num=256,
                pos_fraction=0.5,
                neg_pos_ub=-1,
                add_gt_as_proposals=False),
            allowed_border=-1,
            pos_weight=-1,
            debug=False),
        rpn_proposal=dict(
            nms_pre=2000,
            max_per_img=2000,
            nms=dict(type='nms', iou_threshold=0.7),
            min_bbox_size=0),
        rcnn=dict(
            assigner=dict(
                type='MaxIoUAssigner',
                pos_iou_thr=0.5,
                neg_iou_thr=0.5,
                min_pos_iou=0.5,
                match_low_quality=False,
                ignore_iof_thr=-1),
            sampler=dict(
                type='RandomSampler',
                num=512,
                pos_fraction=0.25,
                neg_pos_ub=-1,
                add_gt_as_proposals=True),
            pos_weight=-1,
            debug=False)),
    test_cfg=dict(
        rpn=dict(
            nms_pre=1000,
            max_per_img=30,
            nms=dict(type='nms', iou_threshold=0.7),
            min_bbox_size=0),
        rcnn=dict(
            score_thr=0.05,
            nms=dict(type='nms', iou_threshold=0.5),
            max_per_img=100)))
