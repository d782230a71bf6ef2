# For small data: the first two stages keep the weights they start with.
# Give those: --cfg-options load_from=CHECKPOINT
_base_ = './faster-rcnn_fbnetv3-a-dsmask-c4_1xb4-1k_bccd.py'

model = dict(backbone=dict(frozen_stages=2))
