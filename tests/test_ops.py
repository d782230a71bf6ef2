"""The stand-in for mmcv's compiled ops, called as mmcv and users call it."""

import importlib
import importlib.util
import math
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES

import pytest
import torch
import torchvision

from fbnetv3_mmdet import mmcv_ext
from fbnetv3_mmdet.ops import register_ops

register_ops()

from mmcv import ops  # noqa: E402  after the stand-in is in its place

F64 = torch.float64


@pytest.fixture(autouse=True)
def stand_in(monkeypatch):
    """Test the stand-in even where a compiled extension is installed."""
    for name in ('bbox', 'deform_conv', 'focal_loss', 'nms', 'roi_align'):
        module = importlib.import_module(f'mmcv.ops.{name}')
        monkeypatch.setattr(module, 'ext_module', mmcv_ext)


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


@pytest.mark.parametrize(
    ('settings', 'expected'),
    [
        ({}, [[1, 0.6, 0], [0.6, 1, 0]]),
        (dict(mode='iof'), [[1, 0.6, 0], [1, 1, 0]]),
        (dict(offset=1), [[1, 77 / 121, 0], [77 / 121, 1, 0]]),
    ],
)
def test_bbox_overlaps_by_hand(settings, expected):
    found = ops.bbox_overlaps(ABC[:2], ABC, **settings)
    torch.testing.assert_close(found, torch.tensor(expected))
    pairs = ops.bbox_overlaps(
        ABC[:2], ABC[:2].flip(0), aligned=True, **settings
    )
    assert pairs.tolist() == pytest.approx([expected[0][1], expected[1][0]])


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


LN2 = math.log(2)


def test_sigmoid_focal_loss_by_hand():
    # logit 0: p = 1/2, so (1 - p)^2 = 1/4 and -log p = ln 2
    logits = torch.zeros(2, 2, requires_grad=True)
    loss = ops.sigmoid_focal_loss(
        logits, torch.tensor([0, 2]), 2.0, 0.25, None, 'none'
    )
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


@pytest.mark.gpu
def test_cuda_gives_what_the_cpu_gives():
    gen = torch.Generator().manual_seed(5)
    maps = torch.randn(2, 3, 9, 13, generator=gen)
    logits, target = torch.randn(6, 4, generator=gen), torch.arange(6) % 5
    results = []
    for device in ('cpu', 'cuda'):
        x = maps.to(device).requires_grad_()
        out = ops.RoIAlign((3, 2), 1 / 7)(x, ROIS.float().to(device))
        out.square().sum().backward()
        z = logits.to(device).requires_grad_()
        loss = ops.sigmoid_focal_loss(z, target.to(device))
        loss.backward()
        inds = ops.nms(ABC.to(device), SCORES.to(device), 0.59, 1)[1]
        found = (out, x.grad, loss, z.grad, inds)
        results.append([r.detach().cpu() for r in found])
    torch.testing.assert_close(results[1], results[0])


@pytest.mark.parametrize(
    ('call', 'op'),
    [
        (
            lambda: ops.deform_conv2d(
                torch.zeros(1, 2, 5, 5),
                torch.zeros(1, 18, 3, 3),
                torch.zeros(2, 2, 3, 3),
            ),
            'deform_conv_forward',
        ),
        (
            lambda: ops.RoIAlign(2, pool_mode='max')(ramp(), ROI),
            "roi_align with pool_mode='max'",
        ),
    ],
)
def test_a_missing_op_raises_its_name_and_the_remedy(call, op):
    with pytest.raises(RuntimeError) as error:
        call()
    message = str(error.value)
    assert op in message and '\n' not in message
    assert f'install an mmcv compiled for torch {torch.__version__}' in message


def test_only_names_of_ops_are_answered():
    assert callable(mmcv_ext.any_op_of_a_later_mmcv)
    for name in ('__path__', '_private'):
        assert not hasattr(mmcv_ext, name)


def run(code, folder):
    """Run ``code`` in a fresh Python where ``folder`` is a part of mmcv."""
    code = f"""
import mmcv
mmcv.__path__.insert(0, {str(folder)!r})
{code}
"""
    result = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', code],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


EXT_SO = f'_ext{EXTENSION_SUFFIXES[0]}'


@pytest.mark.parametrize(
    ('file', 'content', 'reason'),
    [
        (EXT_SO, 'not a library', EXT_SO),
        ('_ext.py', "raise OSError('no libcudart\\nmore')", 'no libcudart)'),
    ],
    ids=['ImportError', 'OSError'],
)
def test_broken_extension_is_replaced_once(tmp_path, file, content, reason):
    (tmp_path / file).write_text(content)
    stdout = run(
        """
import importlib.util
import fbnetv3_mmdet
from fbnetv3_mmdet.ops import register_ops
register_ops()

import torch
from mmcv.ops import batched_nms
from mmengine.utils.dl_utils.misc import mmcv_full_available
boxes = torch.tensor([[0, 0, 10, 10], [0, 0, 10, 6], [0, 0, 10, 6.0]])
scores, classes = torch.tensor([0.9, 0.8, 0.7]), torch.tensor([0, 0, 1])
nms = dict(type='nms', iou_threshold=0.5)
print('kept', batched_nms(boxes, scores, classes, nms)[1].tolist())
print('spec', importlib.util.find_spec('mmcv._ext') is not None)
print('full', mmcv_full_available())
""",
        tmp_path,
    )
    (line,) = (row for row in stdout.splitlines() if 'mmcv.ops uses' in row)
    assert "INFO - mmcv.ops uses torchvision's kernels" in line
    assert reason in line
    assert stdout.endswith('kept [0, 2]\nspec True\nfull True\n')


def test_extension_that_loads_is_left_alone(tmp_path):
    (tmp_path / '_ext.py').write_text(
        'def __getattr__(name):\n'
        "    return lambda *args, **kwargs: f'compiled {name}'\n"
    )
    stdout = run(
        """
import fbnetv3_mmdet
from mmcv.ops import get_compiler_version
print(get_compiler_version())
""",
        tmp_path,
    )
    (line,) = (row for row in stdout.splitlines() if 'mmcv.ops uses' in row)
    assert line.endswith(
        "INFO - mmcv.ops uses mmcv's compiled extension, mmcv._ext"
    )
    assert stdout.endswith('compiled get_compiler_version\n')


@pytest.mark.skipif(
    sys.modules['mmcv._ext'] is not mmcv_ext,
    reason='needs an mmcv without compiled ops',
)
def test_mmdet_imported_earlier_gets_the_ops(tmp_path):
    # the fork's mmdet.apis imports without ops, upstream's does not: there a
    # notebook's first cell fails, and succeeds after this package's import
    stdout = run(
        """
try:
    from mmdet.apis import init_detector
except ModuleNotFoundError as error:
    assert error.name == 'mmcv._ext', error
try:
    import mmdet.models
except ModuleNotFoundError as error:
    assert error.name == 'mmcv._ext', error

import fbnetv3_mmdet
import mmcv.ops
import numpy as np
import torch
from mmdet.apis import inference, init_detector
from mmdet.models.layers.bbox_nms import multiclass_nms
from mmdet.structures.mask import BitmapMasks

assert inference.RoIPool is mmcv.ops.RoIPool
boxes = torch.tensor([[0, 0, 10, 10], [0, 0, 10, 6], [20, 0, 30, 10.0]])
scores = torch.tensor([[0.75, 0.0], [0.5, 0.0], [0.25, 0.0]])
nms = dict(type='nms', iou_threshold=0.5)
dets, _ = multiclass_nms(boxes, scores, 0.1, nms)
print('scores', dets[:, 4].tolist())
masks = BitmapMasks(np.eye(4, dtype=np.uint8)[None], 4, 4)
box, inds = np.array([[0, 0, 4, 4]], np.float32), torch.tensor([0])
print(masks.crop_and_resize(box, (4, 4), inds).masks[0].nonzero())
""",
        tmp_path,
    )
    assert stdout.endswith(
        'scores [0.75, 0.25]\n(array([0, 1, 2, 3]), array([0, 1, 2, 3]))\n'
    )
