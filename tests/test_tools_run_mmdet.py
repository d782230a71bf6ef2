"""MMDetection's own scripts, run with the ops that mmcv lacks."""

import runpy
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


@pytest.mark.parametrize(
    ('name', 'folder'),
    [
        ('browse_dataset', 'analysis_tools'),
        ('mot/browse_dataset', 'mot'),
        ('analysis_tools/browse_dataset', 'analysis_tools'),
        ('train', 'tools'),
    ],
)
def test_the_outer_of_two_scripts_is_meant(name, folder):
    find_script = runpy.run_path(str(ROOT / 'tools/run_mmdet.py'))[
        'find_script'
    ]
    assert find_script(name).parent.name == folder


def test_a_missing_package_is_one_line(tmp_path):
    script = tmp_path / '.mim/tools/needy.py'
    script.parent.mkdir(parents=True)
    script.write_text('import package_that_nobody_has.part\n')
    code = (
        'import runpy, pathlib, sys\n'
        f'tool = runpy.run_path({str(ROOT / "tools/run_mmdet.py")!r})\n'
        f'folder = pathlib.Path({str(script.parent)!r})\n'
        'tool["main"].__globals__["FOLDER"] = folder\n'
        'tool["main"](["needy"])\n'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "error: needy needs 'package_that_nobody_has', which is not "
        'installed: pip install package_that_nobody_has'
    )


@pytest.mark.slow
def test_browse_dataset_draws_the_demo(tmp_path):
    done = run(
        'browse_dataset',
        DIGITS,
        f'--output-dir={tmp_path / "out"}',
        '--not-show',
        '--cfg-options',
        f'train_dataloader.dataset.data_root={tmp_path}',
        'train_dataloader.dataset.num_images=2',
    )
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / 'out').rglob('*.png'))) == 2


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
