_base_ = './faster-rcnn_fbnetv3-a-dsmask-c5_8xb4-540k_coco.py'

model = dict(arch='FBNetV3_B_light_no_se_C5')
