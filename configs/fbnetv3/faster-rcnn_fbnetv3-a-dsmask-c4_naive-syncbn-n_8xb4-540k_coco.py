_base_ = './faster-rcnn_fbnetv3-a-dsmask-c4_8xb4-540k_coco.py'

# Workers weigh by their number of images, which may differ or be 0.
model = dict(norm_cfg=dict(type='NaiveSyncBN', stats_mode='N'))
