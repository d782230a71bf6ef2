# The fast one-stage detector: a third of the multiply-adds of the other. Its
# level of stride 32 is every second cell of that of stride 16.
_base_ = './gfl_fbnetv3-fpn.py'

channels = 48  # of every pyramid level

model = dict(
    backbone=dict(arch='FBNetV3_A_dsmask_tiny', out_indices=(2, 3)),
    neck=dict(in_channels=[24, 64], out_channels=channels),
    bbox_head=dict(in_channels=channels, feat_channels=channels))
