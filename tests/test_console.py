"""What a training shows on the console, and what its log file has."""

import subprocess
import sys
from pathlib import Path

import pytest
from toy import toy_config

from fbnetv3_mmdet.cli import build_runner

pytestmark = pytest.mark.same_on_upstream


def test_a_log_begins_with_facts_and_the_file_has_all(tmp_path, capsys):
    runner = build_runner(toy_config(tmp_path))
    frozen = 'weight is skipped since its requires_grad=False'
    runner.logger.warning(frozen)
    runner.logger.warning('a warning of something else')
    runner.train()
    console = capsys.readouterr().out
    for fact in (
        'data      Noise, 11 images',
        'val       Noise, 11 images',
        'classes   1: a',
        # a layer of 2 x 3 and 3, and a norm of 3 and 3
        'model     Toy, 15 parameters, 15 of them trained, on cpu',
        'weights   random',
        'schedule  12 iterations of 3 images on 1 process(es), evaluation '
        'every 2; SGD, lr 0.1',
        f'results   {tmp_path}',
        'Iter(train) [12/12]',
        'a warning of something else',
    ):
        assert fact in console
    assert len(console.split('Iter(train)')[0].splitlines()) <= 24
    (file,) = tmp_path.glob('*/*.log')
    text = file.read_text()
    for detail in ('System environment:', 'Config:\n', 'Hooks will be exec'):
        assert detail in text and detail not in console
    assert 'schedule  12 iterations' in text
    assert frozen not in console + text


def test_a_resumed_run_says_from_where(tmp_path, capsys):
    cfg = toy_config(tmp_path)
    cfg.train_cfg.max_iters = 6
    build_runner(cfg).train()
    capsys.readouterr()
    build_runner(toy_config(tmp_path, resume=True)).train()
    console = capsys.readouterr().out
    assert f'weights   {tmp_path}/iter_6.pth after 6 iterations' in console


def test_the_import_is_silent_on_optional_packages():
    command = 'import fbnetv3_mmdet, mmdet.datasets, mmdet.evaluation'
    done = subprocess.run(
        [sys.executable, '-c', command],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    assert 'OneDL' not in done.stdout
    assert 'faster_coco_eval' not in done.stderr
