"""tools/browse_archs.py: its table, its file, and wrong arguments."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from fbnetv3_mmdet.costs import costs

pytestmark = pytest.mark.same_on_upstream

ROOT = Path(__file__).resolve().parents[1]
TOOL = ROOT / 'tools' / 'browse_archs.py'
main = runpy.run_path(str(TOOL))['main']


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


def test_figures_are_written_as_json(tmp_path):
    file = tmp_path / 'archs.json'
    main(
        ['--arch', 'FBNetV3_G_fpn', '--size', '64', '64', '--json', str(file)]
    )
    (arch,) = json.loads(file.read_text())
    assert arch['stages'][-1] == dict(stride=32, channels=288)
    pyramid = dict(levels=(4, 8, 16, 32, 64), in_channels=128)
    expected = costs('FBNetV3_G_fpn', (64, 64), **pyramid)
    macs = {part: cost['macs'] for part, cost in arch['parts'].items()}
    assert macs == {part: cost.macs for part, cost in expected.items()}


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
