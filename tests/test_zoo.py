"""The detectors of D2Go's zoo: their sizes, and facts of the pyramid."""

from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch.utils.flop_counter import FlopCounterMode

from fbnetv3_mmdet import FBNetV3RoIExtractor

pytestmark = pytest.mark.same_on_upstream

FOLDER = Path(__file__).parents[1] / 'configs/fbnetv3'
G_FPN = 'faster-rcnn_fbnetv3-g-fpn_8xb4-450k_coco'
# Measured on the reference: parameters; 1e9 multiply-adds of convolutions and
# linear layers for 224 x 320 pixels, with 100 detections for masks.
ZOO = {
    'faster-rcnn_fbnetv3-a-c4_8xb4-540k_coco': (5_306_708, 1.004),
    'faster-rcnn_fbnetv3-a-dsmask-c4_8xb4-540k_coco': (1_744_012, 0.629),
    'faster-rcnn_fbnetv3-g-fpn_8xb4-450k_coco': (34_212_496, 73.888),
    'mask-rcnn_fbnetv3-a-c4_8xb4-540k_coco': (6_118_628, 10.389),
    'mask-rcnn_fbnetv3-a-dsmask-c4_8xb4-540k_coco': (2_555_932, 10.014),
    'mask-rcnn_fbnetv3-g-fpn_8xb4-450k_coco': (35_310_560, 98.125),
}


def build(name, device='cpu'):
    init_default_scope('mmdet')
    with torch.device(device):
        return MODELS.build(Config.fromfile(FOLDER / f'{name}.py').model)


@pytest.mark.parametrize('name', ZOO)
def test_size_is_the_references(name):
    model = build(name, 'meta').eval()
    params, cost = ZOO[name]
    assert sum(p.numel() for p in model.parameters()) == params
    assert multiply_adds(model) == pytest.approx(cost, rel=0.001)


def multiply_adds(model):
    """Return the 1e9 multiply-adds of an image of 224 x 320 pixels."""
    num_proposals = model.test_cfg.rpn.max_per_img
    image = torch.zeros(1, 3, 224, 320, device='meta')
    with FlopCounterMode(display=False) as counter:
        features = model.extract_feat(image)
        model.rpn_head(features)
        # RoIAlign is no convolution, and picks levels by value
        channels = features[-1].size(1)
        regions = torch.zeros(num_proposals, channels, 6, 6, device='meta')
        model.roi_head.bbox_head(model.roi_head.shared_head(regions))
        if model.roi_head.with_mask:
            regions = torch.zeros(100, channels, 14, 14, device='meta')
            assert model.roi_head.mask_head(regions).shape[2:] == (28, 28)
    return counter.get_total_flops() / 2e9


def test_regions_of_the_pyramid_start_at_its_second_level():
    extractor = FBNetV3RoIExtractor(2, [8, 16], first_level=1)
    assert extractor.num_inputs == 3
    features = [torch.full((1, 1, 32, 32), float(s)) for s in (4, 8, 16)]
    rois = torch.tensor([[0.0, 0, 0, 20, 20], [0, 0, 0, 230, 230]])
    assert extractor(features, rois)[:, 0, 0, 0].tolist() == [8, 16]


def test_pyramid():
    model = build(G_FPN).eval()
    assert model.roi_head.bbox_roi_extractor.num_inputs == 5
    with torch.no_grad():
        levels = model.extract_feat(torch.randn(1, 3, 64, 96))
    assert [tuple(level.shape[1:]) for level in levels] == [
        (128, 16, 24), (128, 8, 12), (128, 4, 6), (128, 2, 3), (128, 1, 2)
    ]  # fmt: skip
    assert torch.equal(levels[4], levels[3][..., ::2, ::2])
    # no activation after the norm
    assert all(level.min() < 0 for level in levels)


def test_anchors_of_the_pyramid():
    anchors = build(G_FPN).rpn_head.prior_generator.grid_priors(
        [(2, 3)] * 5, device='cpu'
    )
    for level, stride, side in zip(
        anchors, (4, 8, 16, 32, 64), (32, 64, 128, 256, 512), strict=True
    ):
        centres = (level[:, :2] + level[:, 2:]) / 2
        sizes = level[:, 2:] - level[:, :2]
        assert torch.equal(centres[:3], torch.zeros(3, 2))
        assert torch.equal(centres[-1], torch.tensor([2.0, 1.0]) * stride)
        torch.testing.assert_close(sizes.prod(1), torch.full((18,), side**2.0))
        ratios = (sizes[:, 1] / sizes[:, 0])[:3]
        torch.testing.assert_close(ratios, torch.tensor([0.5, 1, 2]))


def test_pyramid_starts_like_detectron2():
    model = build(G_FPN)
    model.neck.init_weights()
    for conv in [*model.neck.lateral_convs, *model.neck.fpn_convs]:
        weight = conv.conv.weight
        bound = (3 / weight[0].numel()) ** 0.5
        assert weight.abs().max() <= bound
        assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)
        assert conv.conv.bias is None
