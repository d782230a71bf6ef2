# A folder with images/, train.json and val.json in COCO's format.
_base_ = ['./coco_detection.py', './augmentations.py']

# Training and evaluation take the same objects of a file, classes by name.
dataset_type = 'CheckedCocoDataset'
images = dict(img='images/')
train_dataloader = dict(
    batch_size=4,
    dataset=dict(
        type=dataset_type, ann_file='train.json', data_prefix=images))
val_dataloader = dict(
    dataset=dict(
        type=dataset_type, ann_file='val.json', data_prefix=images))
test_dataloader = val_dataloader

val_evaluator = dict(
    _delete_=True, type='CheckedCocoMetric', metric='bbox', format_only=False)
test_evaluator = val_evaluator
