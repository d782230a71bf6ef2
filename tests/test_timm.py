"""The lower-case architectures against timm's own networks."""

import builtins
import copy

import pytest
import torch
from mmdet.registry import MODELS

from fbnetv3_mmdet import FBNetV3
from fbnetv3_mmdet.archs import head_rows
from fbnetv3_mmdet.checkpoints import from_timm, read_timm

pytestmark = pytest.mark.same_on_upstream

timm = pytest.importorskip('timm')
NAMES = ['fbnetv3_b', 'fbnetv3_d', 'fbnetv3_g']
STAGES = range(5)


def randomise(model):
    """Give norms other statistics and weights than their initial 1 and 0."""
    generator = torch.Generator().manual_seed(0)
    for name, value in model.state_dict().items():
        if name.endswith('running_var') or '.bn' in name and value.ndim == 1:
            value.uniform_(0.5, 1.5, generator=generator)
        elif name.endswith('running_mean'):
            value.normal_(0, 0.1, generator=generator)
    return model


@pytest.fixture(scope='module', params=NAMES)
def pair(request):
    """timm's features and our backbone with the same random weights."""
    torch.manual_seed(0)
    whole = randomise(timm.create_model(request.param))
    theirs = timm.create_model(request.param, features_only=True)
    theirs.load_state_dict(whole.state_dict(), strict=False)
    ours = FBNetV3(request.param, out_indices=STAGES)
    ours.load_state_dict(from_timm(whole.state_dict()))
    return theirs, ours


@pytest.mark.parametrize('training', [False, True])
def test_features_equal_timms(pair, training):
    theirs, ours = (copy.deepcopy(m).train(training) for m in pair)
    x = torch.randn(2, 3, 97, 128, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected, feats = theirs(x), ours(x)
    assert len(feats) == len(expected) == len(STAGES)
    for feat, other in zip(feats, expected, strict=True):
        assert other.std() > 0.05
        torch.testing.assert_close(feat, other, rtol=0, atol=1e-5)
    # and so do the running statistics, after a training step too
    statistics = from_timm(theirs.state_dict())
    for name, value in ours.state_dict().items():
        torch.testing.assert_close(value, statistics[name], rtol=0, atol=1e-5)


def test_every_weight_of_the_trunk_counts(pair):
    theirs, ours = pair
    assert sum(p.numel() for p in ours.parameters()) == sum(
        p.numel() for p in theirs.parameters()
    )


def test_no_heads_but_any_detector_of_mmdetection():
    with pytest.raises(ValueError, match="'fbnetv3_b' has no 'rpn' rows"):
        head_rows('fbnetv3_b', 'rpn')
    backbone = MODELS.build(
        dict(type='FBNetV3', arch='fbnetv3_b', out_indices=(2, 3, 4))
    )
    neck = MODELS.build(
        dict(
            type='FPN',
            in_channels=[40, 120, 1344],
            out_channels=8,
            num_outs=3,
        )
    )
    levels = neck(backbone(torch.zeros(1, 3, 64, 64)))
    assert [level.shape[2] for level in levels] == [8, 4, 2]


@pytest.mark.parametrize('name', ['fbnetv3_x', 'fbnetv3_b.none', 'resnet50'])
def test_unknown_weights_list_the_choices(name):
    with pytest.raises(ValueError, match=rf'{name}.*fbnetv3_b\.ra2_in1k'):
        read_timm(name)


def test_missing_timm_is_named_with_its_remedy(monkeypatch):
    original = builtins.__import__

    def without_timm(name, *args, **kwargs):
        if name == 'timm':
            raise ModuleNotFoundError("No module named 'timm'", name='timm')
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, '__import__', without_timm)
    with pytest.raises(
        ImportError, match='timm://fbnetv3_b.*pip install timm'
    ):
        read_timm('fbnetv3_b')
