"""The stand-in's focal loss, called through mmcv."""

import importlib
import math

import pytest
import torch
import torchvision

from fbnetv3_mmdet.mmcv_ops import ext  # its package makes mmcv.ops importable

from mmcv import ops  # isort: skip

F64 = torch.float64


@pytest.fixture(autouse=True)
def stand_in(monkeypatch):
    """Test the stand-in even where a compiled extension is installed."""
    for name in ('focal_loss',):
        module = importlib.import_module(f'mmcv.ops.{name}')
        monkeypatch.setattr(module, 'ext_module', ext)


LN2 = math.log(2)


@pytest.mark.parametrize(
    'device', ['cpu', pytest.param('cuda', marks=pytest.mark.gpu)]
)
def test_sigmoid_focal_loss_by_hand(device):
    # logit 0: p = 1/2, so (1 - p)^2 = 1/4 and -log p = ln 2
    logits = torch.zeros(2, 2, device=device, requires_grad=True)
    target = torch.tensor([0, 2], device=device)
    loss = ops.sigmoid_focal_loss(logits, target, 2.0, 0.25, None, 'none')
    hit, miss = 0.25 * 0.25 * LN2, 0.75 * 0.25 * LN2
    assert loss.flatten().tolist() == pytest.approx([hit, miss, miss, miss])
    loss.sum().backward()
    slope = 0.25 * (0.5 + 2 * 0.5 * LN2)
    hit, miss = -0.25 * slope, 0.75 * slope
    assert logits.grad.flatten().tolist() == pytest.approx(
        [hit, miss, miss, miss]
    )


@pytest.mark.parametrize('reduction', ['none', 'mean', 'sum'])
@pytest.mark.parametrize(('gamma', 'alpha'), [(2, 0.25), (0, 0.5), (1.5, 0.7)])
def test_sigmoid_focal_loss_equals_torchvisions(gamma, alpha, reduction):
    gen = torch.Generator().manual_seed(4)
    logits = torch.randn(50, 4, generator=gen, dtype=F64) * 3
    target = torch.randint(5, (50,), generator=gen)  # 4 is background
    onehot = torch.nn.functional.one_hot(target, 5)[:, :4].to(logits)
    results = []
    for loss_of in (
        lambda x: ops.sigmoid_focal_loss(
            x, target, gamma, alpha, None, reduction
        ),
        lambda x: torchvision.ops.sigmoid_focal_loss(
            x, onehot, alpha, gamma, 'none'
        ),
    ):
        x = logits.clone().requires_grad_()
        loss = loss_of(x)
        loss.sum().backward()
        results.append((loss.detach(), x.grad))
    (loss, grad), (expected, slope) = results
    divisor = 50 if reduction == 'mean' else 1  # mmcv's mean is by sample
    if reduction != 'none':
        expected = expected.sum() / divisor
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(grad, slope / divisor)


def test_sigmoid_focal_loss_weights_samples_by_class():
    logits = torch.zeros(3, 2, requires_grad=True)
    target = torch.tensor([0, 1, 2])  # 2 is background
    args = (target, 2.0, 0.25)
    plain = ops.sigmoid_focal_loss(logits, *args, None, 'none')
    (slope,) = torch.autograd.grad(plain.sum(), logits)
    weight = torch.tensor([2.0, 3.0])
    loss = ops.sigmoid_focal_loss(logits, *args, weight, 'none')
    (grad,) = torch.autograd.grad(loss.sum(), logits)
    rows = torch.tensor([[2.0], [3.0], [1.0]])
    torch.testing.assert_close(loss, plain * rows)
    torch.testing.assert_close(grad, slope * rows)


def test_sigmoid_focal_loss_stays_finite():
    logits = torch.tensor([[-200.0, 200.0]], requires_grad=True)
    loss = ops.sigmoid_focal_loss(
        logits, torch.tensor([0]), 2.0, 0.25, None, 'none'
    )
    floor = -math.log(2.0**-126)  # of the smallest normal float32
    assert loss[0].tolist() == pytest.approx([0.25 * floor, 0.75 * floor])
    loss.sum().backward()
    assert logits.grad[0].tolist() == pytest.approx([-0.25, 0.75])


def test_sigmoid_focal_loss_without_samples():
    logits = torch.zeros(0, 3, requires_grad=True)
    loss = ops.sigmoid_focal_loss(
        logits, torch.zeros(0, dtype=torch.long), 2.0, 0.25, None, 'sum'
    )
    loss.backward()
    assert loss.item() == 0 and logits.grad.shape == (0, 3)
