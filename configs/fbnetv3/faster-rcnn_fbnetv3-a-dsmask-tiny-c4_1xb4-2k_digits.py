_base_ = './faster-rcnn_fbnetv3-a-dsmask-c4_1xb4-2k_digits.py'

model = dict(arch='FBNetV3_A_dsmask_tiny')
