"""tools/convert_checkpoint.py as a user calls it."""

import copy
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from random_detector import random_weights
from test_checkpoints import CONFIG

from fbnetv3_mmdet.checkpoints import to_d2go

TOOL = Path(__file__).parents[1] / 'tools/convert_checkpoint.py'
main = runpy.run_path(str(TOOL))['main']
EXTRAS = dict(pixel_mean=torch.zeros(3), pixel_std=torch.ones(3))


@pytest.fixture(scope='module')
def recorded():
    weights = random_weights(str(CONFIG))
    return dict(model=to_d2go(weights), iteration=0)


@pytest.fixture
def source(recorded, tmp_path):
    """A checkpoint as D2Go trains it: extras, and averages."""
    average = {
        name: value + 1 if value.is_floating_point() else value
        for name, value in recorded['model'].items()
    }
    path = tmp_path / 'd2go.pth'
    torch.save({**recorded, 'ema_state': average | EXTRAS}, path)
    return path


def load(path):
    return torch.load(path, weights_only=True)


def test_there_and_back_is_bit_identical(source, tmp_path, capsys):
    ours, back = tmp_path / 'ours.pth', tmp_path / 'back.pth'
    done = subprocess.run(
        [sys.executable, TOOL, source, ours], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == [
        f"{ours}: 295 tensors in MMDetection's layout",
        'dropped 2: pixel_mean, pixel_std',
    ]
    assert load(ours).keys() == {'state_dict'}
    main([str(ours), str(back)])
    assert capsys.readouterr().out.endswith(
        f"{back}: 295 tensors in D2Go's layout\n"
    )
    before, after = load(source)['ema_state'], load(back)['model']
    assert after.keys() == before.keys() - EXTRAS.keys()
    for name, value in after.items():
        assert value.dtype == before[name].dtype
        assert torch.equal(value, before[name]), name


def test_averages_can_be_declined(source, tmp_path):
    ours = tmp_path / 'ours.pth'
    main([f'{source}?ema=0', str(ours)])
    weight = load(ours)['state_dict']['backbone.stage0.0.conv.weight']
    name = 'backbone.body.trunk0.fbnetv2_0_0.conv.weight'
    assert torch.equal(weight, load(source)['model'][name])


def run(capsys, *argv):
    """Return the status, and the lines of stdout and of stderr."""
    with pytest.raises(SystemExit) as stop:
        main([str(arg) for arg in argv])
    out, err = capsys.readouterr()
    return stop.value.code, out.splitlines(), err.splitlines()


def test_check_says_that_a_checkpoint_fits(source, tmp_path, capsys):
    code, out, _ = run(capsys, '--check', CONFIG, source)
    assert code == 0
    assert out[-3:] == [
        'not in the model: pixel_mean',
        'not in the model: pixel_std',
        f'{source} fits {CONFIG}: 295 tensors agree',
    ]
    ours = tmp_path / 'ours.pth'
    main([str(source), str(ours)])
    code, out, _ = run(capsys, '--check', CONFIG, ours)
    assert code == 0
    assert out[-1] == f'{ours} fits {CONFIG}: 295 tensors agree'


def test_check_prints_what_does_not_fit(recorded, tmp_path, capsys):
    file = copy.deepcopy(recorded)
    weights = file['model']
    del weights['backbone.body.trunk2.fbnetv2_2_1.pw.conv.weight']
    head = 'proposal_generator.rpn_head.rpn_regressor'
    weights[f'{head}.cls_logits.bias'] = torch.zeros(9)
    weights['roi_heads.box_predictor.cls_score.bias'] = torch.zeros(4)
    path = tmp_path / 'spoilt.pth'
    torch.save(file, path)
    code, out, _ = run(capsys, '--check', CONFIG, path)
    assert code == 1
    assert out[-4:] == [
        'missing: backbone.stage2.1.pw.conv.weight',
        'mis-shaped: rpn_head.rpn_cls.bias (9,), not (15,)',
        'for another number of classes: roi_head.bbox_head.fc_cls.bias',
        f'{path} does not fit {CONFIG}: 292 tensors agree',
    ]


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['{source}'], 'give either the file to write, or --check'),
        (['{source}', 'x.pth', '--check', 'x.py'], 'give either the file'),
        (['{source}', '{source}'], "d2go.pth' exists; choose another name"),
        (['none.pth', 'x.pth'], "checkpoint='none.pth' is neither a file nor"),
        (['{text}', 'x.pth'], 'is refused, and nothing in it was run'),
        (['{other}', 'x.pth'], '1 tensors are not of an FBNetV3 detector of'),
        (['{source}', '--check', 'x.py'], "config='x.py'"),
    ],
)
def test_wrong_arguments_are_named_in_one_line(
    arguments, message, source, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    places = {name: tmp_path / f'{name}.pth' for name in ('text', 'other')}
    places['text'].write_text('no checkpoint')
    torch.save(dict(state_dict={'fc.weight': torch.ones(1)}), places['other'])
    before = sorted(tmp_path.iterdir())
    argv = [arg.format(source=source, **places) for arg in arguments]
    code, _, err = run(capsys, *argv)
    assert code == 2
    assert len(err) == 1
    assert err[0].startswith('error: ')
    assert message in err[0]
    assert sorted(tmp_path.iterdir()) == before
