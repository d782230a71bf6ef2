# A folder with images/, train.json and val.json in COCO's format.
_base_ = './coco_detection.py'

images = dict(img='images/')
train_dataloader = dict(
    batch_size=4, dataset=dict(ann_file='train.json', data_prefix=images)
)
val_dataloader = dict(dataset=dict(ann_file='val.json', data_prefix=images))
test_dataloader = val_dataloader
