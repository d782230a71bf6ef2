_base_ = [
    '../_base_/models/gfl_fbnetv3-fpn.py',
    '../_base_/datasets/custom_detection.py',
    '../_base_/schedules/schedule_2k_one-stage.py',
]

# Yours: a folder with images/, train.json and val.json in COCO's format, and
# its classes, named as in the files.
data_root = 'data/custom/'
classes = ('cat', 'dog')

# From random weights: D2Go publishes none of this form.
model = dict(bbox_head=dict(num_classes=len(classes)))

dataset = dict(data_root=data_root, metainfo=dict(classes=classes))
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = val_dataloader
