# What the demo's small training searches for: the AP of
# FBNetV3_A_dsmask_tiny at four fifths of its latency. See docs/search.md.
_base_ = './faster-rcnn_fbnetv3-a-dsmask-tiny-c4_1xb4-300_digits-small.py'

search = dict(
    limit=dict(latency='80%'), trials=32, hours=0.75, finalists=3, seeds=3)
