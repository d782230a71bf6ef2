"""costs: closed forms against PyTorch's counter and the reference."""

import csv
import json
from functools import cache
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from fbnetv3_mmdet.archs import ARCHS
from fbnetv3_mmdet.costs import costs, predictor_costs, total
from fbnetv3_mmdet.models.layers import build_stage

pytestmark = pytest.mark.same_on_upstream

PARAMS = Path(__file__).parent / 'data/arch_params.tsv'  # D2Go's, measured
BN = dict(type='BN')
SCALED = ('FBNetV3_A', 'default_dsmask', 'fbnetv3_b')


@cache
def counted(rows, shape, width):
    """Return parameters and MACs as PyTorch counts them."""
    with torch.device('meta'), torch.no_grad():
        blocks = build_stage(rows, shape[1], BN, width).eval()
        with FlopCounterMode(display=False) as counter:
            blocks(torch.empty(shape))
    params = sum(p.numel() for p in blocks.parameters())
    return params, counter.get_total_flops() // 2


@pytest.mark.parametrize(
    ('name', 'width'),
    [*((name, 1.0) for name in ARCHS), *((name, 0.75) for name in SCALED)],
)
def test_each_part_costs_what_pytorch_counts(name, width):
    arch = ARCHS[name]
    height, width_px = 75, 110  # which strides do not divide
    found = costs(name, (height, width_px), regions=3, width=width)
    trunk = sum(arch.trunk, ())
    expected = {'trunk': counted(trunk, (1, 3, height, width_px), width)}
    with torch.device('meta'):
        blocks = build_stage(trunk, 3, BN, width).eval()
        *_, channels, rows, columns = blocks(
            torch.empty(1, 3, height, width_px)
        ).shape
    for part, shape in dict(
        rpn=(1, channels, rows, columns),
        bbox=(3, channels, 6, 6),
        mask=(3, channels, 14, 14),
        kpts=(3, channels, 6, 6),
    ).items():
        # one detector of D2Go's table has features of stride 8 and an RPN
        # for those of 16; its trunk is what the heads read
        if getattr(arch, part):
            expected[part] = counted(getattr(arch, part), shape, width)
    assert found == expected


def test_parameters_are_d2gos():
    measured, found = {}, {}
    with PARAMS.open() as file:
        _, *rows = csv.reader(file, 'excel-tab')
    for name, part, _, params, _ in rows:
        measured.setdefault(name, {})[part] = int(params)
    for name in measured:
        pyramid = dict(in_channels=128) if name.endswith('_fpn') else {}
        parts = costs(name, **pyramid)
        found[name] = {part: cost.params for part, cost in parts.items()}
    assert found == measured
    assert ARCHS.keys() - measured == {f'fbnetv3_{x}' for x in 'bdg'}  # timm's


def test_macs_of_keypoint_blocks_equal_hand_arithmetic():
    # cells of the maps: 6 x 6, then 3 x 3, 6 x 6 and 12 x 12
    blocks = [
        (112 * 448) * 36 + (448 * 9) * 9 + (448 * 128) * 9,
        2 * ((128 * 768) * 9 + (768 * 9) * 9 + (768 * 128) * 9),
        (128 * 768) * 9 + (768 * 9) * 36 + (768 * 128) * 36,
        (128 * 384) * 36 + (384 * 9) * 144 + (384 * 64) * 144,
    ]
    assert costs('FBNetV3_A_dsmask')['kpts'].macs == 30 * sum(blocks)


def test_a_whole_detector_costs_what_d2go_says():
    # 30 regions, 80 classes: SPEC's figures, in units of 1e9
    for name, macs in (('FBNetV3_A', 1.004), ('FBNetV3_A_dsmask', 0.629)):
        blocks, ends = costs(name), predictor_costs(name)
        parts = [blocks['trunk'], blocks['rpn'], blocks['bbox']]
        whole = total([*parts, ends['rpn'], ends['bbox']])
        assert whole.macs / 1e9 == pytest.approx(macs, abs=5e-4)


def test_rows_of_ones_own_are_costed(tmp_path):
    # a 3x3 convolution from 3 to 8 channels with stride 2, of 10 x 10 pixels
    data = dict(trunk=[[['conv', 3, 8, 2, 1]]])
    weights = 9 * 3 * 8
    expected = dict(trunk=(weights + 8 + 16, weights * 25))
    assert costs(data, (10, 10)) == expected
    path = tmp_path / 'mine.json'
    path.write_text(json.dumps(data))
    assert costs(str(path), (10, 10)) == expected
