# FBNetV3OD with a feature pyramid: the RPN reads p2 to p6, regions p3 to p6.
_base_ = './faster-rcnn_fbnetv3-c4.py'

arch = 'FBNetV3_G_fpn'
channels = 128  # of every level
strides = [4, 8, 16, 32, 64]

model = dict(
    data_preprocessor=dict(pad_size_divisor=32),
    backbone=dict(arch=arch, out_indices=(1, 2, 3, 4)),
    neck=dict(
        type='FPN',
        in_channels=[40, 56, 160, 288],
        out_channels=channels,
        num_outs=5,  # p6 is every second cell of p5
        norm_cfg=_base_.norm_cfg,
        init_cfg=dict(type='Caffe2Xavier', layer='Conv2d'),
    ),
    rpn_head=dict(
        arch=arch,
        in_channels=channels,
        anchor_generator=dict(
            strides=strides,
            base_sizes=strides,
            scales=[8],  # 32 px on p2, 512 px on p6
        ),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(featmap_strides=strides[1:], first_level=1),
        shared_head=dict(arch=arch, in_channels=channels),
    ),
    test_cfg=dict(rpn=dict(max_per_img=1000)),
)
