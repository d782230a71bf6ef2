"""The recorded detector against the reference's tensors, in eval mode."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import init_default_scope

from fbnetv3_mmdet.checkpoints import from_d2go

pytestmark = pytest.mark.parity

CONFIG = (
    Path(__file__).parents[1] / 'configs/fbnetv3'
    '/faster-rcnn_fbnetv3-a-dsmask-c4_8xb4-540k_coco.py'
)
NAME = 'd2go/faster_rcnn_fbnetv3a_dsmask_C4'
# What float32 differs from float64 in the reference itself.
TRUNK, LOGITS, POOLED, CLASSES = 4e-5, 5e-5, 2e-4, 3e-4
BOXES, SCORES = 3e-3, 1e-4  # pixels; probability


@pytest.fixture(scope='module')
def record(shared):
    return np.load(shared / f'{NAME}.npz')


@pytest.fixture(scope='module')
def model(shared):
    init_default_scope('mmdet')
    model = MODELS.build(Config.fromfile(CONFIG).model)
    weights = torch.load(shared / f'{NAME}.pth', weights_only=True)['model']
    model.load_state_dict(from_d2go(weights), strict=True)
    return model.eval()


@pytest.fixture(scope='module', params=['', 'odd/'], ids=['even', 'odd'])
def image(request, record):
    """Return the prefix of an image's records, 224x320 or 197x301 px."""
    return request.param


@pytest.fixture(scope='module')
def outputs(model, record):
    """Return what every block and the RPN's heads gave for 224x320 px."""
    seen = {}

    def keep(name):
        return lambda module, args, out: seen.update({name: out})

    handles = [
        module.register_forward_hook(keep(name))
        for name, module in model.named_modules()
    ]
    predict(model, record['image_bgr_hwc'], (224, 320))
    for handle in handles:
        handle.remove()
    return seen


@torch.no_grad()
def predict(model, image, final_size):
    """Detect in an image (H, W, BGR), as in one of another size (H, W)."""
    size = image.shape[:2]
    sample = DetDataSample(
        metainfo=dict(
            img_shape=size,
            ori_shape=final_size,
            scale_factor=(size[1] / final_size[1], size[0] / final_size[0]),
        )
    )
    inputs = [torch.from_numpy(image).permute(2, 0, 1)]
    data = dict(inputs=inputs, data_samples=[sample])
    return model.test_step(data)[0].pred_instances


def proposals(model, feature, size):
    outs = model.rpn_head([feature])
    meta = dict(img_shape=size, scale_factor=(1, 1))
    return model.rpn_head.predict_by_feat(*outs, batch_img_metas=[meta])[0]


def assert_near(ours, theirs, tolerance):
    torch.testing.assert_close(
        ours.detach(), torch.as_tensor(theirs), rtol=0, atol=tolerance
    )


def assert_same_set(ours, theirs):
    """Compare (boxes, scores, classes) whatever their order."""
    boxes, scores, classes = map(torch.as_tensor, theirs)
    assert len(ours[0]) == len(boxes)
    gap = (ours[0][:, None] - boxes).abs().amax(-1)
    gap[ours[2][:, None] != classes] = torch.inf
    # many boxes of a class lie close together: scores tell them apart
    gap += 10 * (ours[1][:, None] - scores).abs()
    match = gap.argmin(0)
    assert len(match.unique()) == len(boxes)
    assert torch.equal(ours[2][match], classes)
    assert_near(ours[0][match], boxes, BOXES)
    assert_near(ours[1][match], scores, SCORES)


def test_input(model, record, image):
    pixels = torch.from_numpy(record[f'{image}image_bgr_hwc'])
    data = dict(inputs=[pixels.permute(2, 0, 1)])
    inputs = model.data_preprocessor(data)['inputs']
    assert torch.equal(
        inputs, torch.from_numpy(record[f'{image}input_tensor'])
    )


@torch.no_grad()
@pytest.mark.parametrize('stage', range(4))
def test_trunk(outputs, record, stage):
    assert_near(
        outputs[f'backbone.stage{stage}'], record[f'trunk{stage}'], TRUNK
    )


def test_every_block(outputs, record):
    stats = {
        f'{name.removeprefix("blockstat/")}.pwl.conv.weight': record[name]
        for name in record.files
        if name.startswith('blockstat/')
    }
    assert len(stats) == 23
    for name, stat in from_d2go(stats).items():
        out = outputs[name.removesuffix('.pwl.conv.weight')].double()
        ours = [out.mean(), out.std(), out.abs().max(), *out.shape[1:]]
        # of a mean the error is that of its spread
        tolerance = 1e-5 * max(stat[1], 1)
        assert [float(x) for x in ours] == pytest.approx(
            stat, rel=1e-5, abs=tolerance
        ), name


@torch.no_grad()
def test_rpn(model, record, image):
    inputs = torch.from_numpy(record[f'{image}input_tensor'])
    (feature,) = model.backbone(inputs)
    assert_near(feature, record[f'{image}trunk3'], TRUNK)
    (logits,), (deltas,) = model.rpn_head([feature])
    assert_near(logits, record[f'{image}rpn_logits/trunk3'], LOGITS)
    found = proposals(model, feature, inputs.shape[2:])
    logits = torch.from_numpy(record[f'{image}proposal_logits'])
    no_class = torch.zeros(len(logits))
    assert_same_set(
        (found.bboxes, found.scores, found.labels),
        (record[f'{image}proposal_boxes'], logits.sigmoid(), no_class),
    )


def test_rpn_feature_deltas_and_anchors(model, outputs, record):
    assert_near(
        outputs['rpn_head.rpn_conv'], record['rpn_feature/trunk3'], TRUNK
    )
    assert_near(
        outputs['rpn_head.rpn_reg'], record['rpn_deltas/trunk3'], LOGITS
    )
    (anchors,) = model.rpn_head.prior_generator.grid_priors(
        [(14, 20)], device='cpu'
    )
    assert_near(anchors, record['anchors/trunk3'], 0)


@torch.no_grad()
def test_box_head(model, record):
    boxes = torch.from_numpy(record['proposal_boxes'])
    rois = torch.cat([torch.zeros(len(boxes), 1), boxes], 1)
    head = model.roi_head
    feature = torch.from_numpy(record['trunk3'])
    pooled = head.bbox_roi_extractor([feature], rois)
    assert_near(pooled, record['box_pooled'], POOLED)
    out = head._bbox_forward([feature], rois)
    assert_near(out['bbox_feats'].flatten(1), record['box_head_feat'], CLASSES)
    assert_near(out['cls_score'], record['cls_scores'], CLASSES)
    assert_near(out['bbox_pred'], record['bbox_deltas'], CLASSES)


def test_detections(model, record, image):
    pixels = record[f'{image}image_bgr_hwc']
    found = predict(model, pixels, pixels.shape[:2])
    assert_same_set(
        (found.bboxes, found.scores, found.labels),
        [
            record[f'{image}det_{part}']
            for part in ('boxes', 'scores', 'classes')
        ],
    )


def test_rescaled_detections(model, record):
    found = predict(model, record['image_bgr_hwc'], tuple(record['post_hw']))
    assert_same_set(
        (found.bboxes, found.scores, found.labels),
        (record['post_boxes'], record['post_scores'], record['det_classes']),
    )
