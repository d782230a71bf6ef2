"""What is refused for export, by name; the parts of the exported module."""

import re

import pytest
import torch

import fbnetv3_mmdet  # noqa: F401

# isort: split
# what follows needs mmcv's ops, which the package provides
from mmdet.models.dense_heads import RPNHead
from mmdet.models.roi_heads import StandardRoIHead
from mmdet.models.roi_heads.bbox_heads import Shared4Conv1FCBBoxHead
from mmdet.models.task_modules import TBLRBBoxCoder
from mmdet.registry import MODELS
from mmengine.config import Config, ConfigDict
from random_detector import CONFIG
from torch.torch_version import TorchVersion

from fbnetv3_mmdet.deploy.graph import nms
from fbnetv3_mmdet.deploy.support import check_model, check_pipeline

pytestmark = pytest.mark.same_on_upstream


@pytest.fixture
def model():
    return MODELS.build(Config.fromfile(CONFIG).model)


def test_an_old_torch_is_refused(monkeypatch):
    monkeypatch.setattr(torch, '__version__', TorchVersion('2.9.1+cpu'))
    with pytest.raises(ValueError, match='torch 2.9.1.* with torch 2.10 or'):
        check_model(None)


@pytest.mark.parametrize('kind', ['PAA', 'FSAF'])
def test_other_detectors_are_refused(kind):
    cfg = Config.fromfile(
        CONFIG.replace('faster-rcnn', 'retinanet').replace(
            '-a-dsmask-c4_1xb4-2k_digits', '-a-fpn_8xb4-540k_coco'
        )
    )
    other = MODELS.build(cfg.model | dict(type=kind))
    with pytest.raises(ValueError, match='FasterRCNN.*MaskRCNN') as error:
        check_model(other)
    name = type(other).__name__
    start = f'model of type {name!r} cannot be exported; supported are '
    assert str(error.value).startswith(start)


@pytest.mark.parametrize(
    ('path', 'part', 'supported'),
    [
        ('rpn_head', RPNHead, 'FBNetV3RPNHead'),
        ('roi_head', StandardRoIHead, 'FBNetV3RoIHead'),
        ('roi_head.bbox_head', Shared4Conv1FCBBoxHead, 'BBoxHead'),
        ('roi_head.bbox_head.bbox_coder', TBLRBBoxCoder, 'DeltaXYWHBBoxCoder'),
    ],
)
def test_foreign_parts_are_refused(model, path, part, supported):
    check_model(model)
    owner, _, name = path.rpartition('.')
    foreign = part.__new__(part)
    if issubclass(part, torch.nn.Module):
        torch.nn.Module.__init__(foreign)
        foreign.mask_head = None
    setattr(model.get_submodule(owner), name, foreign)
    message = f'model.{path} of type {part.__name__!r} cannot be exported; '
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        check_model(model)
    assert supported in str(error.value)


@pytest.mark.parametrize(
    ('head', 'stage', 'change', 'message'),
    [
        (
            'rpn_head',
            'rpn',
            dict(nms=dict(type='soft_nms', iou_threshold=0.5)),
            'nms={.*soft_nms.*} cannot',
        ),
        (
            'roi_head',
            'rcnn',
            dict(nms=dict(iou_threshold=0.5, class_agnostic=True)),
            'nms={.*class_agnostic.*} cannot',
        ),
        ('roi_head', 'rcnn', dict(max_per_img=-1), 'max_per_img=-1 cannot'),
    ],
)
def test_foreign_settings_are_refused(model, head, stage, change, message):
    getattr(model, head).test_cfg.update(ConfigDict(change))
    with pytest.raises(
        ValueError, match=rf'model\.test_cfg\.{stage}\.{message}'
    ):
        check_model(model)


def test_activations_of_a_loss_are_refused(model):
    loss = dict(type='SeesawLoss', num_classes=10)
    model.roi_head.bbox_head.loss_cls = MODELS.build(loss)
    with pytest.raises(ValueError, match='loss_cls.* cannot be exported'):
        check_model(model)


LOAD, PACK = dict(type='LoadImageFromFile'), dict(type='PackDetInputs')
RESIZE = dict(type='Resize', scale=(9, 7), keep_ratio=True, backend='pillow')


def test_pipelines_that_only_resize_pass():
    assert check_pipeline([LOAD, RESIZE, PACK]) == RESIZE


@pytest.mark.parametrize(
    ('middle', 'message'),
    [
        ([RESIZE, dict(type='Pad', size_divisor=32)], "'Pad' of the test"),
        ([RESIZE, RESIZE], 'needs one'),
        ([], 'needs one'),
        ([RESIZE | dict(backend='cv2')], "backend='pillow'"),
        ([{k: v for k, v in RESIZE.items() if k != 'backend'}], "='pillow'"),
        ([RESIZE | dict(keep_ratio=False)], 'keep_ratio=True'),
        ([RESIZE | dict(interpolation='nearest')], 'and nothing else'),
        ([RESIZE | dict(scale=224)], r'scale=\(long, short\)'),
        ([RESIZE | dict(scale=(1e5, 224))], 'at most 8192 pixels'),
        ([RESIZE, LOAD | dict(color_type='grayscale')], "has .'color_type'."),
    ],
)
def test_other_pipelines_are_refused(middle, message):
    with pytest.raises(ValueError, match=message):
        check_pipeline([LOAD, *middle, PACK])


def test_nms_keeps_groups_and_classes_apart():
    # boxes 0 and 1 overlap by 8/12, 0 and 2 not at all
    row = [[0.0, 0, 10, 1], [2, 0, 12, 1], [20, 0, 30, 1]]
    boxes = torch.tensor([row, row])
    scores = torch.tensor(
        [[[0.5, 0.6, 0.1], [0.6, 0.0, 0.7]], [[0.9, 0.8, 0.7], [0, 0, 0.3]]]
    )
    found = nms(boxes, scores, 1, 0.6, 0.2)
    assert found.tolist() == [[0, 0, 1], [0, 1, 2], [1, 0, 0], [1, 1, 2]]
    found = nms(boxes, scores, 9, 0.6, 0.2)
    assert found.tolist() == [
        [0, 0, 1], [0, 1, 2], [0, 1, 0], [1, 0, 0], [1, 0, 2], [1, 1, 2],
    ]  # fmt: skip
    assert nms(boxes, scores, 9, 0.7, 0.55)[0].tolist() == [0, 0, 1]
    assert nms(boxes, scores, 9, 0.6, 0.9).shape == (0, 3)
