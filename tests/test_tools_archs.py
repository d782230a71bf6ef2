"""tools/browse_archs.py against D2Go's measured parameters and MACs."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOOL = ROOT / 'tools' / 'browse_archs.py'
main = runpy.run_path(str(TOOL))['main']

# What the table leaves out, in MACs: predictors of 15 anchors a cell on C4
# and 3 on an FPN's levels, and of 80 classes; lateral and output convolutions
# of the FPN.
CELLS_C4 = {(224, 320): 14 * 20, (320, 320): 20 * 20}
CELLS_FPN = [56 * 80, 28 * 40, 14 * 20, 7 * 10, 4 * 5]
FPN = sum(
    cells * (channels * 128 + 9 * 128 * 128)
    for cells, channels in zip(CELLS_FPN, (40, 56, 160, 288), strict=False)
)


@pytest.fixture(scope='module')
def archs(tmp_path_factory):
    file = tmp_path_factory.mktemp('archs') / 'archs.json'
    main(['--json', str(file)])
    return {arch['arch']: arch for arch in json.loads(file.read_text())}


def test_parameters_equal_d2go(archs):
    lines = (ROOT / 'tests/data/arch_params.tsv').read_text().splitlines()
    expected = {}
    for line in lines[1:]:
        name, part, _, params, _ = line.split('\t')
        expected.setdefault(name, {})[part] = int(params)
    measured = {
        name: {part: cost['params'] for part, cost in arch['parts'].items()}
        for name, arch in archs.items()
        if not name.startswith('fbnetv3')  # timm's
    }
    assert measured == expected


def test_stages_have_strides_and_channels(archs):
    def stages(name):
        return [(s['stride'], s['channels']) for s in archs[name]['stages']]

    assert stages('FBNetV3_A') == [(2, 16), (4, 24), (8, 32), (16, 112)]
    assert stages('FBNetV3_G_fpn')[-1] == (32, 288)


# D2Go's convolutions and linear layers, 30 proposals and 100 masks an image.
@pytest.mark.parametrize(
    ('name', 'size', 'detection', 'segmentation'),
    [
        ('FBNetV3_A', (224, 320), 1.004, 10.389),
        ('FBNetV3_A', (320, 320), 1.195, None),
        ('FBNetV3_A_dsmask', (224, 320), 0.629, 10.014),
        ('FBNetV3_A_dsmask', (320, 320), 0.794, None),
    ],
)
def test_macs_equal_d2go(name, size, detection, segmentation, tmp_path):
    file = tmp_path / 'archs.json'
    size_argument = [str(side) for side in size]
    main(['--arch', name, '--size', *size_argument, '--json', str(file)])
    (arch,) = json.loads(file.read_text())
    macs = {part: cost['macs'] for part, cost in arch['parts'].items()}
    channels = {'FBNetV3_A': 200, 'FBNetV3_A_dsmask': 160}[name]
    predictors = CELLS_C4[size] * 112 * 15 * 5 + 30 * channels * (81 + 320)
    total = macs['trunk'] + macs['rpn'] + macs['bbox'] + predictors
    assert total / 1e9 == pytest.approx(detection, abs=5e-4)
    if segmentation:
        masks = macs['mask'] * 100 / 30 + 100 * 28 * 28 * 64 * 80
        assert (total + masks) / 1e9 == pytest.approx(segmentation, abs=1e-3)


def test_macs_behind_an_fpn_equal_d2go(archs):
    parts = archs['FBNetV3_G_fpn']['parts']
    macs = {part: cost['macs'] for part, cost in parts.items()}
    box = macs['bbox'] * 1000 / 30 + 1000 * 288 * (81 + 320)
    rpn = macs['rpn'] + sum(CELLS_FPN) * 160 * 3 * 5
    total = macs['trunk'] + FPN + rpn + box
    assert total / 1e9 == pytest.approx(73.888, abs=5e-4)
    masks = macs['mask'] * 100 / 30 + 100 * 28 * 28 * 80 * 80
    assert (total + masks) / 1e9 == pytest.approx(98.125, abs=1e-3)


def test_macs_of_keypoint_blocks_equal_hand_arithmetic(archs):
    # cells of the maps: 6 x 6, then 3 x 3, 6 x 6 and 12 x 12
    blocks = [
        (112 * 448) * 36 + (448 * 9) * 9 + (448 * 128) * 9,
        2 * ((128 * 768) * 9 + (768 * 9) * 9 + (768 * 128) * 9),
        (128 * 768) * 9 + (768 * 9) * 36 + (768 * 128) * 36,
        (128 * 384) * 36 + (384 * 9) * 144 + (384 * 64) * 144,
    ]
    kpts = archs['FBNetV3_A_dsmask']['parts']['kpts']
    assert kpts['macs'] == 30 * sum(blocks)


def test_table_shows_the_named_architectures():
    command = [sys.executable, TOOL, '--arch', 'FBNetV3_B', 'FBNetV3_A_dsmask']
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = [
        [cell.strip() for cell in line.strip('|').split('|')]
        for line in done.stdout.splitlines()
        if line.startswith('| FBNetV3')
    ]
    assert [row[0] for row in rows] == ['FBNetV3_B', 'FBNetV3_A_dsmask']
    assert rows[0][1] == '16/2 24/4 40/8 120/16'
    assert [cell.split()[0] for cell in rows[0][2:]] == [
        '1.219', '0.801', '4.408', '-', '-',
    ]  # fmt: skip


@pytest.mark.parametrize(
    ('argv', 'message'),
    [
        (['--arch', 'FBNetV3_Z'], "error: arch='FBNetV3_Z' is not"),
        (['--size', '0', '320'], 'error: size=(0, 320) of the image must'),
    ],
)
def test_wrong_values_are_named_in_one_line(argv, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(argv)
    err = capsys.readouterr().err
    assert stop.value.code == 2
    assert err.splitlines()[-1].startswith(message)
    assert 'Traceback' not in err
