# The recipe of a fine-tuning on your own data, for that data: the better start
# for a few hundred pictures. Set data_root and classes in the base, or inherit
# a config of yours instead. See docs/search.md.
_base_ = './faster-rcnn_fbnetv3-a-dsmask-c4_finetune_1xb4-1k_custom.py'

search = dict(space=dict(arch=None), trials=16, finalists=2, seeds=3)
