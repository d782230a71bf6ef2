"""A resumed run equals one that was never interrupted, bit for bit."""

import runpy
import shutil
import time
from pathlib import Path

import pytest
import torch
import trainings
from mmengine.config import Config
from mmengine.runner import Runner
from thorough import amount
from toy import toy_config
from trainings import log_of, same, state_of

ROOT = Path(__file__).resolve().parents[1]


def finish(cfg, crash_at=None):
    """Train; return the state at the end."""
    time.sleep(1)  # runs of one second share a log and a history of losses
    if crash_at is not None:
        cfg = cfg.copy()
        cfg.custom_hooks = [
            *cfg.custom_hooks,
            dict(type='CrashHook', at=crash_at),
        ]
        with pytest.raises(RuntimeError, match='crash'):
            Runner.from_cfg(cfg).train()
        return None
    runner = Runner.from_cfg(cfg)
    runner.train()
    return state_of(runner.message_hub.get_info('last_ckpt'))


@pytest.mark.parametrize(
    ('num_workers', 'by_epoch'), [(0, False), (3, False), (0, True), (1, True)]
)
def test_crash_and_resume(tmp_path, num_workers, by_epoch):
    options = {
        'train_dataloader.num_workers': num_workers,
        'train_dataloader.persistent_workers': num_workers == 1,
        'randomness': dict(seed=0),
    }
    whole = toy_config(tmp_path / 'a', by_epoch=by_epoch, **options)
    broken = toy_config(tmp_path / 'b', by_epoch=by_epoch, **options)
    expected = finish(whole)
    finish(broken, crash_at=7)
    assert not (tmp_path / 'b/iter_12.pth').exists()
    broken.resume = True
    assert same(finish(broken), expected)
    if not by_epoch:  # mmengine's records of epochs name no iteration
        assert len(log_of(whole)) == 12 + 6
        assert log_of(broken) == log_of(whole)


@pytest.mark.parametrize('at', [7, 8])  # 8: evaluated there
def test_a_pause_changes_nothing(tmp_path, at):
    options = {'randomness': dict(seed=0)}
    whole, paused = (toy_config(tmp_path / n, **options) for n in 'ab')
    expected = finish(whole)
    go_on = paused.copy()
    paused.custom_hooks = [
        *paused.custom_hooks,
        dict(type='PauseHook', at=at),
    ]
    finish(paused)
    done = {path.name for path in (tmp_path / 'b').glob('iter_*.pth')}
    assert done == {'iter_3.pth', 'iter_6.pth', f'iter_{at}.pth'}
    assert log_of(paused)[-1]['step'] == at
    paused.resume = go_on.resume = True
    finish(paused)  # is where it was
    assert {path.name for path in (tmp_path / 'b').glob('iter_*.pth')} == done
    assert same(finish(go_on), expected)
    assert log_of(go_on) == log_of(whole)


def test_seed_that_was_drawn_is_kept(tmp_path):
    expected = finish(whole := toy_config(tmp_path / 'a'))
    resumed = toy_config(tmp_path / 'b', resume=True)
    Path(resumed.work_dir).mkdir()
    shutil.copy(Path(whole.work_dir, 'iter_6.pth'), resumed.work_dir)
    assert same(finish(resumed), expected)
    another = finish(toy_config(tmp_path / 'c'))
    assert not same(another, expected)


def test_workers_change_nothing(tmp_path):
    seed = dict(seed=3)
    alone = finish(toy_config(tmp_path / 'a', randomness=seed))
    workers = {'train_dataloader.num_workers': 2}
    other = toy_config(tmp_path / 'b', randomness=seed, **workers)
    assert same(finish(other), alone)


def test_finite_sampler_goes_on_in_the_middle_of_an_epoch(tmp_path):
    options = {
        'train_dataloader.sampler.type': 'DefaultSampler',
        'randomness': dict(seed=0),
    }
    expected = finish(toy_config(tmp_path / 'a', **options))
    broken = toy_config(tmp_path / 'b', **options)
    finish(broken, crash_at=7)
    broken.resume = True
    assert same(finish(broken), expected)


def test_random_numbers_differ_between_iterations(tmp_path):
    cfg = toy_config(tmp_path / 'a')
    runner = Runner.from_cfg(cfg)
    seen = []
    runner.model.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(torch.rand(4).tolist()),
        with_kwargs=True,
    )
    runner.train()
    assert len({tuple(row) for row in seen}) == len(seen) >= 12


def test_evaluation_that_was_cut_off_is_done(tmp_path):
    finish(toy_config(tmp_path / 'a'))
    done = toy_config(tmp_path / 'b', resume=True)
    Path(done.work_dir).mkdir()
    shutil.copy(tmp_path / 'a/iter_12.pth', done.work_dir)
    time.sleep(1)
    Runner.from_cfg(done).train()
    assert log_of(done) == [dict(number=11, step=12)]


@pytest.mark.slow
@pytest.mark.parametrize('num_workers', amount([4], [0, 1, 4]))
def test_detector(tmp_path, num_workers):
    options = {
        'train_dataloader.num_workers': num_workers,
        'train_dataloader.persistent_workers': num_workers > 0,
        'default_hooks.checkpoint.max_keep_ckpts': -1,
    }
    whole = trainings.small_config(tmp_path / 'a', **options)
    (tmp_path / 'a').mkdir()
    assert trainings.train(whole) == 0, trainings.output_of(whole)
    resumed = trainings.small_config(tmp_path / 'b', resume=True, **options)
    Path(resumed.work_dir).mkdir(parents=True)
    shutil.copy(Path(whole.work_dir, 'iter_4.pth'), resumed.work_dir)
    assert trainings.train(resumed) == 0, trainings.output_of(resumed)
    expected = state_of(Path(whole.work_dir, 'iter_12.pth'))
    assert same(state_of(Path(resumed.work_dir, 'iter_12.pth')), expected)
    records = log_of(resumed)
    assert records == log_of(whole)[-len(records) :]
    assert [r['step'] for r in records if 'iter' not in r] == [6, 12]


def test_first_resume_begins_with_the_initial_weights(tmp_path):
    script = runpy.run_path(str(ROOT / 'tools/train.py'))
    args = script['parse_args'](['config.py', '--resume'])
    cfg = Config(dict(load_from='weights.pth', work_dir=str(tmp_path)))
    script['apply_options'](cfg, args)
    assert (cfg.resume, cfg.load_from) == (False, 'weights.pth')
    (tmp_path / 'iter_3.pth').touch()
    script['apply_options'](cfg, args)
    assert (cfg.resume, cfg.load_from) == (True, None)


def test_weights_alone_cannot_be_resumed(tmp_path):
    cfg = toy_config(tmp_path, resume=True, load_from=f'{tmp_path}/w.pth')
    model = Runner.from_cfg(cfg).model
    torch.save(dict(state_dict=model.state_dict()), cfg.load_from)
    with pytest.raises(ValueError, match=r'load_from=.*w\.pth.*no state of a'):
        Runner.from_cfg(cfg).train()
