# FBNetV3OD with a feature pyramid: the RPN reads p2 to p6, regions p3 to p6.
_base_ = './faster-rcnn_fbnetv3-c4.py'

strides = [4, 8, 16, 32, 64]

model = dict(
    arch='FBNetV3_G_fpn',
    data_preprocessor=dict(pad_size_divisor=32),
    backbone=dict(out_indices=(1, 2, 3, 4)),
    neck=dict(
        type='FPN',
        out_channels=128,
        num_outs=5,  # p6 is every second cell of p5
        init_cfg=dict(type='Caffe2Xavier', layer='Conv2d'),
    ),
    rpn_head=dict(
        anchor_generator=dict(
            strides=strides,
            base_sizes=strides,
            scales=[8],  # 32 px on p2, 512 px on p6
        ),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(featmap_strides=strides[1:], first_level=1),
    ),
    test_cfg=dict(rpn=dict(max_per_img=1000)),
)
