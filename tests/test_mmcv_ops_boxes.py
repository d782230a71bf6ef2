"""The stand-in's ops on boxes, called through mmcv."""

import importlib
import math

import pytest
import torch

from fbnetv3_mmdet.mmcv_ops import ext  # its package makes mmcv.ops importable

from mmcv import ops  # isort: skip


@pytest.fixture(autouse=True)
def stand_in(monkeypatch):
    """Test the stand-in even where a compiled extension is installed."""
    module = importlib.import_module('mmcv.ops.nms')
    monkeypatch.setattr(module, 'ext_module', ext)


# Boxes 10 wide: A and B share 60 of 100 (with offset 1, 77 of 121), C is apart
A, B, C = [0.0, 0, 10, 10], [0.0, 0, 10, 6], [20.0, 0, 30, 10]
ABC = torch.tensor([A, B, C])
SCORES = torch.tensor([0.9, 0.8, 0.5])


@pytest.mark.parametrize(
    ('threshold', 'offset', 'kept'),
    [
        (0.6, 0, [0, 1, 2]),  # an overlap equal to the threshold is kept
        (0.59, 0, [0, 2]),
        (0.6, 1, [0, 2]),  # 77 / 121 = 0.636
        (0.64, 1, [0, 1, 2]),
    ],
)
def test_nms_by_hand(threshold, offset, kept):
    dets, inds = ops.nms(ABC, SCORES, threshold, offset)
    assert inds.tolist() == kept
    torch.testing.assert_close(
        dets, torch.cat((ABC, SCORES[:, None]), 1)[kept]
    )


def test_nms_keeps_the_first_of_equal_scores_in_order_of_input():
    boxes = torch.tensor(
        [[20.0 * (i // 2), 0, 20.0 * (i // 2) + 10, 10] for i in range(100)]
    )  # pairs of the same box
    _, inds = ops.nms(boxes, torch.full((100,), 0.5), 0.5)
    assert inds.tolist() == list(range(0, 100, 2))


def greedy_nms(boxes, scores, threshold, offset):
    """Suppress as the definition says, box by box, in double precision."""
    kept = []
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        x1, y1, x2, y2 = boxes[i]
        for j in kept:
            u1, v1, u2, v2 = boxes[j]
            w = max(min(x2, u2) - max(x1, u1) + offset, 0)
            h = max(min(y2, v2) - max(y1, v1) + offset, 0)
            areas = (x2 - x1 + offset) * (y2 - y1 + offset) + (
                u2 - u1 + offset
            ) * (v2 - v1 + offset)
            if w * h / (areas - w * h) > threshold:
                break
        else:
            kept.append(i)
    return kept


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('threshold', [0.3, 0.5, 0.7])
def test_nms_equals_its_definition(threshold, offset):
    gen = torch.Generator().manual_seed(0)
    low = torch.rand(200, 2, generator=gen) * 60
    boxes = torch.cat(
        (low, low + 5 + torch.rand(200, 2, generator=gen) * 30), 1
    )
    scores = torch.rand(200, generator=gen)
    kept = greedy_nms(boxes.tolist(), scores.tolist(), threshold, offset)
    assert 10 < len(kept) < 190
    assert ops.nms(boxes, scores, threshold, offset)[1].tolist() == kept


def test_nms_takes_half_precision_scores():
    assert ops.nms(ABC, SCORES.half(), 0.5)[1].tolist() == [0, 2]
    assert ops.nms(ABC.half(), SCORES.half(), 0.5)[1].tolist() == [0, 2]


def test_batched_nms_keeps_classes_apart():
    nms = dict(type='nms', iou_threshold=0.5)
    _, inds = ops.batched_nms(ABC, SCORES, torch.tensor([0, 1, 0]), nms)
    assert inds.tolist() == [0, 1, 2]
    _, inds = ops.batched_nms(ABC, SCORES, torch.tensor([0, 0, 0]), nms)
    assert inds.tolist() == [0, 2]


@pytest.mark.parametrize(
    ('settings', 'kept', 'score'),
    [
        (dict(method='naive'), [0, 2], None),
        (dict(method='linear'), [0, 2, 1], 0.8 * (1 - 0.6)),
        (dict(method='linear', min_score=0.33), [0, 2], None),
        (dict(method='linear', iou_threshold=0.61), [0, 1, 2], 0.8),
        (dict(method='linear', offset=1), [0, 2, 1], 0.8 * (1 - 77 / 121)),
        (dict(method='gaussian'), [0, 2, 1], 0.8 * math.exp(-0.36 / 0.5)),
        (dict(method='gaussian', sigma=2), [0, 1, 2], 0.8 * math.exp(-0.18)),
    ],
)
def test_soft_nms_by_hand(settings, kept, score):
    dets, inds = ops.soft_nms(ABC, SCORES, **settings)
    assert inds.tolist() == kept
    assert dets[:, :4].tolist() == ABC[kept].tolist()
    expected = {0: 0.9, 1: score, 2: 0.5}
    assert dets[:, 4].tolist() == pytest.approx([expected[i] for i in kept])


def test_nms_match_by_hand():
    dets = torch.cat((ABC, SCORES[:, None]), 1).flip(0)  # C, B, A
    groups = [g.tolist() for g in ops.nms_match(dets, 0.6)]
    assert groups == [[2, 1], [0]]  # here the equal overlap is suppressed
    groups = [g.tolist() for g in ops.nms_match(dets, 0.61)]
    assert groups == [[2], [1], [0]]


def test_boxes_without_area_suppress_nothing():
    points = torch.zeros(3, 4)
    assert ops.nms(points, SCORES, 0.5)[1].tolist() == [0, 1, 2]
    for method in ('naive', 'linear', 'gaussian'):
        dets, inds = ops.soft_nms(points, SCORES, method=method)
        assert inds.tolist() == [0, 1, 2]
        assert dets[:, 4].tolist() == SCORES.tolist()
    dets = torch.cat((points, SCORES[:, None]), 1)
    assert [len(g) for g in ops.nms_match(dets, 0.5)] == [1, 1, 1]


def test_no_boxes():
    boxes, scores = torch.zeros(0, 4), torch.zeros(0)
    for function in (ops.nms, ops.soft_nms):
        dets, inds = function(boxes, scores, iou_threshold=0.5)
        assert dets.shape == (0, 5) and inds.shape == (0,)
        assert inds.dtype == torch.long
    assert ops.nms_match(torch.zeros(0, 5), 0.5) == []


@pytest.mark.gpu
@pytest.mark.parametrize(('threshold', 'offset'), [(0.59, 0), (0.63, 1)])
def test_nms_on_cuda(threshold, offset):
    _, inds = ops.nms(ABC.cuda(), SCORES.cuda(), threshold, offset)
    assert inds.tolist() == [0, 2]
