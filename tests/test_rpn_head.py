"""Proposals: those of MMDetection's RPNHead, bit by bit."""

import copy
import math

import pytest
import torch
from mmengine.config import Config
from syncs import Syncs
from test_configs import DEFAULT, FOLDER

# isort: split
# after the above, which provides mmcv's ops
from mmdet.models.dense_heads import RPNHead
from mmdet.registry import MODELS, TASK_UTILS

from fbnetv3_mmdet.models import rpn_head

MMDET = RPNHead._bbox_post_process


def build(path):
    model = Config.fromfile(path).model
    return MODELS.build({**model.rpn_head, 'test_cfg': model.test_cfg.rpn})


@pytest.fixture
def head():
    return build(DEFAULT)


def proposals(head, maps, monkeypatch, **settings):
    """Return the proposals, and how many boxes MMDetection's NMS was given."""
    sizes = []

    def spy(self, results, *args, **kwargs):
        sizes.append(len(results))
        return MMDET(self, results, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(RPNHead, '_bbox_post_process', spy)
        (found,) = predict(head, maps, **settings)
    return found, sizes


def from_all(head, maps, monkeypatch, **settings):
    """Return the proposals of NMS over all boxes."""
    with monkeypatch.context() as patch:
        patch.setattr(rpn_head, 'NMS_BOXES_PER_PROPOSAL', 10**6)
        return proposals(head, maps, monkeypatch, **settings)


def predict(head, maps, shapes=((224, 320),), own=True, **settings):
    """Return each image's proposals: the head's own, or MMDetection's."""
    cfg = copy.deepcopy(head.test_cfg)
    cfg.update(settings)
    metas = [dict(img_shape=s, scale_factor=(0.5, 0.4)) for s in shapes]
    kind = type(head) if own else RPNHead
    rescale = cfg.pop('rescale', False)
    return kind.predict_by_feat(
        head, *maps, batch_img_metas=metas, cfg=cfg, rescale=rescale
    )


def random_maps(spread, quantum):
    """Return logits, in steps of ``quantum`` for ties, and deltas."""
    generator = torch.Generator().manual_seed(0)
    logits, deltas = (
        torch.randn(1, channels, 14, 20, generator=generator)
        for channels in (15, 60)
    )
    return [(logits / quantum).round() * quantum], [spread * deltas]


def assert_same(one, other):
    assert set(one.keys()) == set(other.keys())
    for key in one.keys():
        assert one[key].equal(other[key]), key


@pytest.mark.parametrize('quantum', [1e-3, 0.5], ids=['few ties', 'ties'])
@pytest.mark.parametrize('spread', [0.2, 0.0], ids=['random', 'grid'])
def test_same_proposals_from_fewer_boxes(head, monkeypatch, spread, quantum):
    maps = random_maps(spread, quantum)
    found, sizes = proposals(head, maps, monkeypatch)
    expected, _ = from_all(head, maps, monkeypatch)
    assert sizes == [150]
    assert len(expected) == 30
    assert_same(found, expected)


def test_all_boxes_where_the_best_do_not_do(head, monkeypatch):
    logits, deltas = random_maps(0, 1e-3)
    # the 270 anchors of the first 18 cells come first, as large as the image
    logits[0].view(15, -1)[:, :18] += 10
    by_cell = deltas[0].view(15, 4, -1)
    by_cell[:, 2:, :18] = 1e4
    maps = logits, deltas
    found, sizes = proposals(head, maps, monkeypatch)
    expected, _ = from_all(head, maps, monkeypatch)
    assert sizes == [150, 1000]
    assert_same(found, expected)


def test_training_looks_at_all(head, monkeypatch):
    maps = random_maps(0.2, 1e-3)
    settings = dict(nms_pre=2000, max_per_img=2000, min_bbox_size=-1)
    _, sizes = proposals(head, maps, monkeypatch, **settings)
    assert sizes == [2000]


def test_other_nms_looks_at_all(head, monkeypatch):
    maps = random_maps(0.2, 1e-3)
    nms = dict(type='soft_nms', iou_threshold=0.7)
    soft = dict(nms=nms, nms_pre=200, max_per_img=10)
    found, _ = proposals(head, maps, monkeypatch, **soft)
    expected, _ = from_all(head, maps, monkeypatch, **soft)
    assert_same(found, expected)


def test_several_levels_look_at_all(monkeypatch):
    path = FOLDER / 'faster-rcnn_fbnetv3-g-fpn_8xb4-450k_coco.py'
    head = build(path)
    sizes = (56, 80), (28, 40), (14, 20), (7, 10), (4, 5)
    generator = torch.Generator().manual_seed(0)
    maps = tuple(
        [torch.randn(1, n, *size, generator=generator) / 5 for size in sizes]
        for n in (3, 12)
    )
    settings = dict(max_per_img=30, min_bbox_size=-1)
    found, boxes = proposals(head, maps, monkeypatch, **settings)
    expected, _ = from_all(head, maps, monkeypatch, **settings)
    assert boxes == [1000 + 1000 + 840 + 210 + 60]  # at most 1000 a level
    assert_same(found, expected)


SHAPES = (224, 320), (200, 320), (224, 250)
FPN = 'faster-rcnn_fbnetv3-g-fpn_8xb4-450k_coco.py'


@pytest.mark.parametrize(
    ('path', 'sizes', 'anchors'),
    [
        (DEFAULT, [(14, 20)], 15),
        (FOLDER / FPN, [(28, 40), (14, 20), (7, 10), (4, 5), (2, 3)], 3),
    ],
    ids=['c4', 'fpn'],
)
@pytest.mark.parametrize(
    'settings',
    [
        dict(),
        dict(min_bbox_size=60, max_per_img=20),  # some are smaller
        dict(nms_pre=-1, max_per_img=50),
        dict(rescale=True, nms_pre=300),
        dict(nms=dict(iou_threshold=0.6, score_threshold=0.55)),
    ],
    ids=lambda settings: '-'.join(settings) or 'as trained',
)
@pytest.mark.parametrize(
    'device', ['cpu', pytest.param('cuda', marks=pytest.mark.gpu)]
)
def test_a_batch_is_as_its_images(path, sizes, anchors, settings, device):
    """To the bit what MMDetection's own head proposes, image by image."""
    head = build(path)
    generator = torch.Generator().manual_seed(0)
    maps = tuple(
        [
            torch.randn(3, n, *size, generator=generator).to(device)
            for size in sizes
        ]
        for n in (anchors, 4 * anchors)
    )
    found = predict(head, maps, SHAPES, **settings)
    expected = predict(head, maps, SHAPES, own=False, **settings)
    for one, other in zip(found, expected, strict=True):
        assert len(one) > 5
        assert one.bboxes.equal(other.bboxes)
        torch.testing.assert_close(one.scores, other.scores)
        assert one.labels.equal(other.labels)


def test_ranking_waits_once_for_all_images(head):
    maps = [
        [level.expand(8, -1, -1, -1) for level in levels]
        for levels in random_maps(0.2, 1e-3)
    ]
    predict(head, maps, [(224, 320)] * 8)  # anchors are made once
    with Syncs() as syncs:
        found = predict(head, maps, [(224, 320)] * 8)
    assert len(found) == 8
    # of each image NMS alone, whose threshold is rounded on the CPU
    assert syncs.counts == dict(nms=8, _local_scalar_dense=8)


def test_large_logits_are_ranked(head):
    logits, deltas = random_maps(0, 1e-3)
    logits[0].fill_(-20.0)
    # three cells apart from each other; float32 sigmoids from 17 on are 1
    for x, logit in ((4, 25.0), (10, 26.0), (16, 24.0)):
        logits[0][0, 0, 7, x] = logit
    (found,) = head.predict_by_feat(
        logits, deltas, batch_img_metas=[dict(img_shape=(224, 320))]
    )
    centres = found.bboxes[:3].reshape(3, 2, 2).mean(1)
    assert centres.tolist() == [[160, 112], [64, 112], [256, 112]]
    assert found.scores[:4].tolist() == pytest.approx([1, 1, 1, 2e-9], rel=0.1)


@pytest.mark.parametrize('value', [math.inf, math.nan])
def test_one_broken_logit_spoils_no_other(value, head):
    logits, deltas = random_maps(0, 1e-3)
    logits[0].fill_(-20.0)
    for x, logit in ((4, 2.0), (10, value), (16, 1.0)):
        logits[0][0, 0, 7, x] = logit
    (found,) = head.predict_by_feat(
        logits, deltas, batch_img_metas=[dict(img_shape=(224, 320))]
    )
    centres = found.bboxes[:3].reshape(3, 2, 2).mean(1).tolist()
    sigmoids = [1 / (1 + math.exp(-2)), 1 / (1 + math.exp(-1))]
    broken = value == math.inf  # the best of all; what is undefined is none
    assert centres[broken : 2 + broken] == [[64, 112], [256, 112]]
    scores = found.scores[broken : 2 + broken].tolist()
    assert scores == pytest.approx(sigmoids, rel=1e-5)
    assert found.scores.isfinite().all()
    if broken:
        assert centres[0] == [160, 112] and found.scores[0] > scores[0]


def test_anchors_in_the_padding_of_a_batch_are_background(head):
    metas = [
        dict(pad_shape=(224, width), batch_input_shape=(224, 320))
        for width in (320, 224)
    ]
    _, flags = head.get_anchors([(14, 20)], metas, device='cpu')
    assert [int(flag.sum()) for (flag,) in flags] == [4200, 4200]


@pytest.mark.parametrize('part', ['rpn_head', 'roi_head.bbox_head'])
def test_boxes_shrink_without_a_limit_and_grow_to_one(part):
    coder = Config.fromfile(DEFAULT).model
    for key in part.split('.'):
        coder = coder[key]
    stds = torch.tensor([coder.bbox_coder.target_stds])
    coder = TASK_UTILS.build(coder.bbox_coder)
    anchor = torch.tensor([[0.0, 0.0, 160.0, 160.0]])
    deltas = torch.tensor([[0.0, 0.0, -5.0, 9.0]]) / stds
    ((x1, y1, x2, y2),) = coder.decode(anchor, deltas).tolist()
    assert x2 - x1 == pytest.approx(160 * math.exp(-5), rel=1e-4)
    assert y2 - y1 == pytest.approx(160 * 1000 / 16, rel=1e-6)
