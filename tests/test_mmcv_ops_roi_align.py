"""The stand-in's RoIAlign, called through mmcv."""

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
    for name in ('roi_align',):
        module = importlib.import_module(f'mmcv.ops.{name}')
        monkeypatch.setattr(module, 'ext_module', ext)


def ramp(dtype=torch.float32):
    """One 16 x 16 map whose value is its column, as an expanded view."""
    return torch.arange(16, dtype=dtype).expand(1, 1, 16, 16)


ROI = torch.tensor([[0, 64.0, 64, 192, 192]])  # at stride 16: columns 4 to 12


@pytest.mark.parametrize(
    ('aligned', 'expected'),
    [(True, [5.5, 9.5]), (False, [6.0, 10.0])],  # half a cell to the left
)
@pytest.mark.parametrize('dtype', [torch.float32, F64, torch.bfloat16])
def test_roi_align_reads_bin_centres(aligned, expected, dtype):
    roi_align = ops.RoIAlign(2, 1 / 16, aligned=aligned)
    out = roi_align(ramp(dtype), ROI.to(dtype))
    assert out.dtype == dtype and out.shape == (1, 1, 2, 2)
    assert out[0, 0].tolist() == [expected, expected]


def bilinear(image, y, x):
    """Interpolate; zero beyond a cell outside, the edge's value up to it."""
    height, width = image.shape
    if not (-1 <= y <= height and -1 <= x <= width):
        return 0.0
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = min(int(y), height - 1), min(int(x), width - 1)
    low, right = min(top + 1, height - 1), min(left + 1, width - 1)
    dy, dx = y - top, x - left
    upper = (1 - dx) * image[top, left] + dx * image[top, right]
    lower = (1 - dx) * image[low, left] + dx * image[low, right]
    return (1 - dy) * upper + dy * lower


def roi_align_by_definition(image, roi, size, scale, ratio, aligned):
    """Average each bin's grid of samples, for one map (H, W) and one RoI."""
    x1, y1, x2, y2 = (v * scale - 0.5 * aligned for v in roi)
    width, height = x2 - x1, y2 - y1
    if not aligned:
        width, height = max(width, 1), max(height, 1)
    rows, cols = size
    ny = ratio if ratio > 0 else math.ceil(height / rows)
    nx = ratio if ratio > 0 else math.ceil(width / cols)
    out = torch.zeros(size, dtype=F64)
    for i in range(rows):
        for j in range(cols):
            samples = [
                bilinear(
                    image,
                    y1 + (i + (a + 0.5) / ny) * height / rows,
                    x1 + (j + (b + 0.5) / nx) * width / cols,
                )
                for a in range(ny)
                for b in range(nx)
            ]
            out[i, j] = sum(samples) / max(len(samples), 1)
    return out


ROIS = torch.tensor(
    [
        [0, 1.3, 2.7, 40.1, 30.9],
        [1, -9.0, -6.5, 21.0, 90.0],  # partly outside
        [1, 33.3, 12.2, 35.0, 14.1],  # smaller than a cell
        [0, 8.0, 8.0, 8.0, 8.0],  # empty
    ],
    dtype=F64,
)


@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('ratio', [0, 1, 3])
@pytest.mark.parametrize(
    ('shape', 'size', 'scale'),
    [((7, 11), (3, 2), 1 / 7), ((13, 9), (6, 6), 0.3), ((1, 5), (1, 7), 0.1)],
)
def test_roi_align_equals_its_definition(shape, size, scale, ratio, aligned):
    gen = torch.Generator().manual_seed(1)
    maps = torch.randn(2, 3, *shape, generator=gen, dtype=F64)
    found = ops.RoIAlign(size, scale, ratio, aligned=aligned)(maps, ROIS)
    expected = torch.stack(
        [
            torch.stack(
                [
                    roi_align_by_definition(
                        maps[int(roi[0]), c].numpy(),
                        roi[1:].tolist(),
                        size,
                        scale,
                        ratio,
                        aligned,
                    )
                    for c in range(3)
                ]
            )
            for roi in ROIS
        ]
    )
    torch.testing.assert_close(found, expected)
    same = torchvision.ops.roi_align(maps, ROIS, size, scale, ratio, aligned)
    assert torch.equal(found, same)


@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('ratio', [0, 2])
def test_roi_align_gradient(ratio, aligned):
    gen = torch.Generator().manual_seed(2)
    maps = torch.randn(2, 2, 5, 7, generator=gen, dtype=F64).requires_grad_()
    roi_align = ops.RoIAlign((3, 2), 1 / 7, ratio, aligned=aligned)
    assert torch.autograd.gradcheck(lambda x: roi_align(x, ROIS), maps)


def test_roi_align_gradient_by_hand():
    # one bin, one sample, at the corner between four cells
    maps = torch.zeros(1, 1, 4, 4, requires_grad=True)
    roi = torch.tensor([[0, 1.0, 1, 3, 3]])
    ops.RoIAlign(1, 1.0, sampling_ratio=1)(maps, roi).backward(
        torch.full((1, 1, 1, 1), 8.0)
    )
    expected = torch.zeros(4, 4)
    expected[1:3, 1:3] = 2.0
    assert torch.equal(maps.grad[0, 0], expected)


@pytest.mark.parametrize('layout', ['channels_last', 'transposed', 'strided'])
def test_roi_align_takes_any_memory_layout(layout):
    gen = torch.Generator().manual_seed(3)
    maps = torch.randn(2, 3, 9, 13, generator=gen, dtype=F64)
    laid_out = {
        'channels_last': maps.to(memory_format=torch.channels_last),
        'transposed': maps.transpose(2, 3).contiguous().transpose(2, 3),
        'strided': maps.repeat_interleave(2, 1)[:, ::2],
    }[layout]
    assert not laid_out.is_contiguous()
    roi_align = ops.RoIAlign((3, 2), 1 / 7)
    grads = []
    for x in (maps, laid_out):
        x = x.detach().requires_grad_()
        out = roi_align(x, ROIS)
        out.transpose(2, 3).square().sum().backward()
        grads.append((out, x.grad))
    for found, expected in zip(grads[1], grads[0], strict=True):
        assert torch.equal(found, expected)


def test_roi_align_without_rois():
    maps = torch.ones(1, 2, 4, 4, requires_grad=True)
    out = ops.RoIAlign((3, 2), 1.0)(maps, torch.zeros(0, 5))
    assert out.shape == (0, 2, 3, 2)
    out.sum().backward()
    assert torch.equal(maps.grad, torch.zeros(1, 2, 4, 4))


def test_max_pooling_is_refused():
    with pytest.raises(RuntimeError, match="roi_align with pool_mode='max'"):
        ops.RoIAlign(2, pool_mode='max')(ramp(), ROI)


@pytest.mark.gpu
def test_roi_align_on_cuda():
    gen = torch.Generator().manual_seed(4)
    maps = torch.randn(2, 3, 9, 13, generator=gen, dtype=F64)
    results = []
    for device in ('cpu', 'cuda'):
        x = maps.detach().to(device).requires_grad_()  # a leaf
        out = ops.RoIAlign((3, 2), 1 / 7)(x, ROIS.to(device))
        out.square().sum().backward()
        results.append((out.detach().cpu(), x.grad.cpu()))
    torch.testing.assert_close(results[1], results[0])
