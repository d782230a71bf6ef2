# Any detector of MMDetection takes the backbone; here RetinaNet.
_base_ = 'mmdet::_base_/models/retinanet_r50_fpn.py'

norm_cfg = dict(type='NaiveSyncBN')
channels = 128  # of every pyramid level

model = dict(
    backbone=dict(
        _delete_=True,
        type='FBNetV3',
        arch='FBNetV3_A_C5',
        out_indices=(2, 3, 4),
        norm_cfg=norm_cfg,
    ),
    neck=dict(
        in_channels=[32, 112, 200],
        out_channels=channels,
        start_level=0,
        add_extra_convs='on_output',
        norm_cfg=norm_cfg,
    ),
    bbox_head=dict(in_channels=channels, feat_channels=channels),
)
