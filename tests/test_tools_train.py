"""tools/train.py and tools/test.py, as a user and as ``mim`` calls them."""

import os
import pickle
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.device import get_device
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

ROOT = Path(__file__).parents[1]
TRAIN = ROOT / 'tools/train.py'
TEST = ROOT / 'tools/test.py'
DIGITS = next(ROOT.glob('configs/*/faster-rcnn_*-a-dsmask-c4_*_digits.py'))
MASKS = next(ROOT.glob('configs/*/mask-rcnn_*_digits.py'))


def call(script, *argv):
    """Call a tool's main in this process."""
    runpy.run_path(str(script))['main']([str(word) for word in argv])


def run(script, *argv, cwd, launcher=()):
    """Run a tool in a process of its own, outside the clone."""
    command = [sys.executable, *launcher, str(script), *map(str, argv)]
    env = os.environ | {'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'}
    env.pop('LOCAL_RANK', None)
    return subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, timeout=600
    )


def errors(text):
    return [line for line in text.splitlines() if line.startswith('error: ')]


def tiny(data_root):
    """Return options for two iterations on six scenes."""
    options = [
        'train_cfg.max_iters=2',
        'train_cfg.val_interval=2',
        'default_hooks.checkpoint.interval=2',
        'default_hooks.logger.interval=1',
        'randomness.seed=0',
    ]
    for split in ('train', 'val', 'test'):
        options += [
            f'{split}_dataloader.{setting}'
            for setting in (
                'num_workers=0',
                'persistent_workers=False',
                'batch_size=2',
                f'dataset.data_root={data_root}',
                'dataset.num_images=4',
            )
        ]
    return ['--cfg-options', *options]


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """Work in an empty folder; the tools set LOCAL_RANK."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('LOCAL_RANK', '0')


def message_of(capsys, script, *argv):
    """Return the line with which a tool in this process gives up."""
    with pytest.raises(SystemExit) as caught:
        call(script, *argv)
    assert caught.value.code == 2
    (line,) = errors(capsys.readouterr().err)
    return line


def option(setting):
    return [DIGITS, *tiny('data'), setting]


WRONG = [
    (['nosuch.py'], ("config='nosuch.py'", 'path of a config file')),
    (['.'], ("config='.'", 'path of a config file')),
    (['syntax.py'], ("config='syntax.py'", 'SyntaxError', 'correct')),
    (['name.py'], ("config='name.py'", "'nosuch'", 'correct')),
    (['base.py'], ("config='base.py'", 'nosuch.py', 'base files')),
    (['child.py'], ("config='child.py'", "/name.py', line 2)", 'correct')),
    (['heir.py'], ("config='heir.py'", "/syntax.py', line 1)", 'correct')),
    (
        option('model.backbone.arch=FBNetV9'),
        ("model.backbone.arch='FBNetV9'", 'choose one of'),
    ),
    (
        option('model.backbone.archh=FBNetV3_A'),
        ("model.backbone.archh='FBNetV3_A'", 'choose one of', 'remove'),
    ),
    (
        option('model.test_cfg.rpn.max_per_img=six'),
        ("model.test_cfg.rpn.max_per_img='six'", 'positive integer'),
    ),
    (
        option('arch=FBNetV3_A'),
        ("arch='FBNetV3_A'", 'would change nothing', 'model.arch'),
    ),
    (option('modle.backbone.arch=x'), ('modle', "'model'", 'full path')),
    (
        option('model.arch.name=x'),
        ("model.arch.name='x'", 'does not fit', 'dotted path'),
    ),
    (
        option('train_dataloader.dataset.pipeline.9.type=x'),
        ('pipeline.9.type', 'does not fit', 'dotted path'),
    ),
    (option('load_from'), ("load_from'", 'KEY=VALUE', 'write')),
    (option('load_from=[1,2'), ("load_from=[1,2'", 'brackets', 'write')),
    ([DIGITS, '--resume', 'no.pth'], ("load_from='no.pth'", 'give the path')),
    (
        [*option('auto_scale_lr=None'), '--auto-scale-lr'],
        ('--auto-scale-lr', 'auto_scale_lr.base_batch_size', 'set it'),
    ),
    (
        [DIGITS, '--launcher', 'pytorch'],
        ("--launcher='pytorch'", 'torchrun', 'leave --launcher out'),
    ),
    # These are found when they are built.
    (
        option('model.backbone.type=ResNett'),
        ('ResNett is not in the', 'registry', 'correct the type'),
    ),
    (
        option('model.roi_head.bbox_head.num_clases=3'),
        ("argument 'num_clases'", 'correct the keys'),
    ),
    (
        # its average is built when the training begins
        option('custom_hooks.0.momentm=1'),
        ('custom_hooks.0 cannot be built', "argument 'momentm'; correct"),
    ),
    (
        option('custom_hooks.0.momentum=1.0'),
        ('custom_hooks.0 cannot be built', "'momentum': 1.0", 'correct'),
    ),
    (option('model.backbone=six'), ('should be a dict', 'give a dict')),
    (
        option('train_dataloader.dataset.num_images=0'),
        ('num_images=0', 'at least 1'),
    ),
    (
        option('param_scheduler.0.type=Linear'),
        ('Linear is not in the', 'correct the type'),
    ),
]


@pytest.mark.parametrize(
    ('argv', 'words'), WRONG, ids=lambda value: str(value[-1])[:50]
)
def test_mistake_ends_in_a_line_and_status_2(capsys, argv, words):
    Path('syntax.py').write_text('model = (')
    Path('name.py').write_text('a = 1\nmodel = nosuch')
    Path('child.py').write_text("_base_ = 'name.py'\n\n\nb = 2")
    Path('heir.py').write_text("\n\n_base_ = 'syntax.py'")
    Path('base.py').write_text("_base_ = 'nosuch.py'")
    line = message_of(capsys, TRAIN, *argv)
    for word in words:
        assert word in line


@pytest.mark.skipif(get_device() != 'cpu', reason='needs a machine without')
def test_mixed_precision_without_an_accelerator(capsys):
    line = message_of(capsys, TRAIN, DIGITS, '--amp')
    assert 'leave --amp out' in line


def test_missing_checkpoint_of_a_test(capsys):
    line = message_of(capsys, TEST, DIGITS, 'nosuch.pth')
    assert line.startswith("error: load_from='nosuch.pth'")


def test_predictions_go_into_a_pickle(capsys):
    argv = [DIGITS, __file__, '--out', 'found.json']
    line = message_of(capsys, TEST, *argv)
    assert "--out='found.json'" in line and '.pkl' in line


@HOOKS.register_module()
class RaiseInIteration(Hook):
    """Stands for a bug that shows when training has begun."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        raise ValueError('a bug')


def test_error_of_an_iteration_keeps_its_traceback():
    with pytest.raises(ValueError, match='^a bug$'):
        call(TRAIN, *option('default_hooks.bug.type=RaiseInIteration'))


@pytest.mark.parametrize('bug', [KeyError, TypeError, AttributeError])
def test_bug_of_a_hook_of_ones_own_keeps_its_traceback(bug):
    @HOOKS.register_module(force=True)
    class BrokenHook(Hook):
        def __init__(self):
            if bug is KeyError:
                {}['nosuch']
            if bug is AttributeError:
                None.nosuch()
            int(nosuch=1, got='an unexpected keyword argument')

    with pytest.raises(bug) as caught:
        call(TRAIN, *option('default_hooks.bug.type=BrokenHook'))
    assert caught.traceback[-1].name == '__init__'


def test_line_stands_alone_and_nothing_is_written(tmp_path):
    done = run(TRAIN, *option('model.backbone.arch=FBNetV9'), cwd=tmp_path)
    assert done.returncode == 2
    (line,) = errors(done.stderr)
    assert "model.backbone.arch='FBNetV9'" in line
    assert done.stderr.endswith(f'{line}\n')
    assert 'Traceback' not in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.end_to_end
def test_train_resume_and_test():
    folder = Path('work_dirs') / DIGITS.stem
    call(TRAIN, DIGITS, *tiny('data'))
    assert (folder / 'iter_2.pth').is_file()

    call(TRAIN, DIGITS, '--resume', *tiny('data'), 'train_cfg.max_iters=3')
    *_, log = sorted(folder.glob('*/*.log'))
    assert 'Iter(train) [3/3]' in log.read_text()
    assert 'Iter(train) [2/3]' not in log.read_text()

    argv = [DIGITS, folder / 'iter_2.pth', '--out', 'a.pkl', '--show-dir', 's']
    call(TEST, *argv, *tiny('data'))
    call(TEST, *argv, '--tta', *tiny('data'))
    results = pickle.loads(Path('a.pkl').read_bytes())
    assert [result['img_id'] for result in results] == [1, 2, 3, 4]
    assert all(result['ori_shape'] == (224, 320) for result in results)
    pictures = list(folder.glob('*/s/*.png'))
    assert len(pictures) == 8  # four scenes, twice


@pytest.mark.slow
def test_torchrun_needs_no_gpu(tmp_path):
    launcher = ['-m', 'torch.distributed.run', '--standalone']
    launcher += ['--nproc_per_node=2']
    argv = [DIGITS, '--launcher', 'pytorch', '--work-dir', 'work']
    done = run(TRAIN, *argv, *tiny('data'), cwd=tmp_path, launcher=launcher)
    assert done.returncode == 0, done.stderr
    assert 'iterations of 2 images on 2 process(es)' in done.stdout
    assert (tmp_path / 'work/iter_2.pth').is_file()


def test_masks_are_not_merged(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('some.pth').touch()
    with pytest.raises(SystemExit) as stop:
        call(TEST, MASKS, 'some.pth', '--tta')
    assert stop.value.code == 2
    (line,) = errors(capsys.readouterr().err)
    assert 'model.roi_head.mask_head' in line and 'leave --tta out' in line
