"""MMDetection's own scripts, run with the ops that mmcv lacks."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DIGITS = (
    ROOT
    / 'configs/fbnetv3'
    / 'faster-rcnn_fbnetv3-a-dsmask-c4_1xb4-2k_digits.py'
)


def run(*arguments):
    return subprocess.run(
        [sys.executable, ROOT / 'tools/run_mmdet.py', *arguments],
        capture_output=True,
        text=True,
    )


def test_unknown_script_is_one_line():
    done = run('browse')
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(
        "error: 'browse' is no script of MMDetection; choose one of"
    )


@pytest.mark.slow
def test_get_flops_counts_the_demo_model(tmp_path):
    done = run(
        'get_flops',
        DIGITS,
        '--num-images=1',
        '--cfg-options',
        f'val_dataloader.dataset.data_root={tmp_path}',
        'val_dataloader.dataset.num_images=1',
    )
    # D2Go's 1,744,012 less 70 classes of 160 + 1, 5 numbers each
    assert f'Params: {(1_744_012 - 70 * 161 * 5) / 1e6:.3f}M' in done.stdout
