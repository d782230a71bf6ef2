"""Checkpoints are read whole, or refused, and never run."""

import os
import pickle
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.runner import CheckpointLoader, Runner

from fbnetv3_mmdet.checkpoints import load_safely, read_checkpoint

pytestmark = [
    pytest.mark.usefixtures('safe_loading'),
    pytest.mark.same_on_upstream,
]


@pytest.fixture
def safe_loading():
    load_safely()


class Toy(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def forward(self, *inputs, mode):
        return dict(loss=self.layer(torch.stack(inputs)).square().mean())


def train(folder, max_epochs, resume=False):
    """Train as every config does, with MMEngine's default hooks."""
    loader = dict(
        batch_size=2,
        dataset=[torch.ones(2), torch.zeros(2)],
        sampler=dict(type='DefaultSampler', shuffle=False),
    )
    runner = Runner(
        Toy(),
        str(folder),
        train_dataloader=loader,
        train_cfg=dict(by_epoch=True, max_epochs=max_epochs),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.1)),
        param_scheduler=dict(type='LinearLR', start_factor=0.1, end=2),
        default_hooks=dict(logger=dict(type='LoggerHook', interval=1)),
        custom_hooks=[dict(type='EMAHook')],
        resume=resume,
        experiment_name=f'{folder.name}-{max_epochs}',
    )
    runner.train()
    return runner


IMPORT = """
import torch
from mmengine.fileio.backends import backends as local
from mmengine.runner import CheckpointLoader, checkpoint

def loaders():
    return {k: v for k, v in CheckpointLoader._schemes.items()
            if k not in ('d2go://', 'timm://')}

def state():
    return [loaders(), checkpoint.load_from_http, dict(local)['local'],
            set(torch.serialization.get_safe_globals())]

before, schemes = state(), set(CheckpointLoader._schemes)
import fbnetv3_mmdet
assert state() == before
assert set(CheckpointLoader._schemes) - schemes == {'d2go://', 'timm://'}

# a checkpoint that fits no model goes where it went
model = torch.nn.Linear(2, 1)
checkpoint.load_state_dict(model, dict(weight=torch.ones(1, 2)), False)
assert model.weight.tolist() == [[1, 1]]

from mmengine.registry import HOOKS
hook = HOOKS.build(dict(type='CheckSettingsHook'))
hook.before_run(None)
assert CheckpointLoader._schemes[''].__module__.startswith('fbnetv3_mmdet')
"""


def test_importing_changes_no_loader_but_our_hook_does():
    """In a process of its own, for tests here have called tools."""
    subprocess.run([sys.executable, '-c', IMPORT], check=True)


@pytest.fixture
def trained(tmp_path):
    train(tmp_path, 1)
    return tmp_path / 'epoch_1.pth'


def test_training_checkpoints_are_read_safely(trained):
    checkpoint = torch.load(trained, weights_only=True)
    history = checkpoint['message_hub']['log_scalars']['train/loss']
    assert isinstance(history, HistoryBuffer)
    (loss,) = history.data[0]
    assert history.statistics('mean') == history.statistics('min') == loss
    same = CheckpointLoader.load_checkpoint(str(trained))
    assert same['meta'] == checkpoint['meta']


def test_a_run_is_resumed(trained, capsys):
    runner = train(trained.parent, 2, resume=True)
    assert 'Falling back' not in ''.join(capsys.readouterr())
    assert runner.epoch == 2
    history = runner.message_hub.get_scalar('train/loss')
    assert len(history.data[0]) == 2  # one from before


@pytest.mark.parametrize('core', ['core', '_core'])
def test_numbers_of_either_numpy_are_read(core, tmp_path):
    values = dict(
        array=np.arange(6, dtype=np.int32).reshape(2, 3),
        scalar=np.float32(0.5),
        truth=np.bool_(True),
    )
    path = tmp_path / 'numbers.pth'
    torch.save(values, path)
    rename_numpys_core(path, core)
    read = read_checkpoint(str(path))
    assert read['array'].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert read['array'].dtype == np.int32
    assert read['scalar'] == values['scalar']
    assert type(read['scalar']) is np.float32
    assert read['truth'] == np.True_


def rename_numpys_core(path, core):
    """Let a file name NumPy's module as one version of NumPy does."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, 'w') as archive:
        for name, data in files.items():
            for old in (b'numpy._core.', b'numpy.core.'):
                data = data.replace(old, f'numpy.{core}.'.encode())
            archive.writestr(name, data)


# Hostile files


class Call:
    """Pickled as the call of a function."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def hostile(target):
    """Return objects that make a file at ``target`` if they are called."""
    return {
        'os': Call(os.system, f'touch {target}'),
        'eval': Call(eval, f'open({str(target)!r}, "w")'),
        'open': Call(open, str(target), 'w'),
        'hidden': dict(state_dict=Call(os.mkdir, str(target))),
        # what a history's pickle may look up, and what not
        'getattr': Call(getattr, HistoryBuffer, '__init__'),
        'dunder': Call(getattr, Call(getattr, HistoryBuffer, 'min'), 'x'),
    }


KINDS = list(hostile(''))
LOADERS = {
    'ours': read_checkpoint,
    'local': CheckpointLoader.load_checkpoint,
    'd2go': lambda path: CheckpointLoader.load_checkpoint(f'd2go://{path}'),
}


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('new_format', [True, False], ids=['zip', 'legacy'])
@pytest.mark.parametrize('load', LOADERS.values(), ids=LOADERS)
def test_what_could_run_code_is_refused(kind, new_format, load, tmp_path):
    target = tmp_path / 'ran'
    path = str(tmp_path / 'hostile.pth')
    content = dict(state_dict={}, meta=hostile(target)[kind])
    torch.save(content, path, _use_new_zipfile_serialization=new_format)
    with pytest.raises(ValueError, match='refused, and nothing in it was run'):
        load(path)
    assert not target.exists()


def test_the_hostile_files_would_have_run(tmp_path):
    for kind in ('os', 'eval', 'open', 'hidden'):
        target = tmp_path / kind
        pickle.loads(pickle.dumps(hostile(target)[kind]))
        assert target.exists(), kind


def test_a_refusal_names_what_it_is_about_in_one_line(tmp_path):
    path = tmp_path / 'hostile.pth'
    torch.save(hostile(tmp_path / 'ran')['eval'], path)
    with pytest.raises(ValueError) as error:
        read_checkpoint(str(path))
    message = str(error.value)
    assert f'checkpoint={str(path)!r}' in message
    assert 'GLOBAL eval' in message
    assert '\n' not in message


# Broken files


def broken(whole):
    return {
        'half': whole[: len(whole) // 2],
        'end': whole[:-1],
        'empty': b'',
        'page': b'<!DOCTYPE html><html></html>',
    }


@pytest.mark.parametrize('kind', list(broken(b'')))
def test_broken_files_are_named(kind, tmp_path):
    path = tmp_path / 'broken.pth'
    torch.save(dict(state_dict=dict(a=torch.zeros(9))), path)
    path.write_bytes(broken(path.read_bytes())[kind])
    with pytest.raises(ValueError, match=f'checkpoint={str(path)!r}'):
        CheckpointLoader.load_checkpoint(str(path))


def test_missing_files_are_named():
    with pytest.raises(FileNotFoundError, match="'none.pth' does not exist"):
        CheckpointLoader.load_checkpoint('none.pth')
