"""Whole checkpoints at any moment: writing, disk full, damaged ones."""

import multiprocessing
import os
import random
import resource
import shutil
import stat
import subprocess
import threading
import time
from pathlib import Path

import pytest
import torch
from mmengine.fileio import LocalBackend, get_file_backend
from mmengine.hooks import Hook
from mmengine.runner import Runner
from toy import toy_config
from trainings import (
    errors_of,
    listen,
    log_of,
    output_of,
    read_checkpoint,
    train,
)

from fbnetv3_mmdet import files
from fbnetv3_mmdet.training.faults import AtomicLocalBackend

FORK = multiprocessing.get_context('fork')


def write_for_ever(path):
    backend = AtomicLocalBackend()
    for i in range(10**9):
        backend.put(bytes([i % 256]) * 2_000_000, path)


def test_killed_writer_leaves_a_whole_file(tmp_path):
    path = tmp_path / 'file'
    moments = random.Random(0)
    for _ in range(20):
        writer = FORK.Process(target=write_for_ever, args=(str(path),))
        writer.start()
        while not path.exists():
            time.sleep(0.001)
        time.sleep(moments.uniform(0, 0.05))
        writer.kill()
        writer.join()
        content = path.read_bytes()
        assert len(content) == 2_000_000 and len(set(content)) == 1


def write_with_limit(path):
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    try:
        AtomicLocalBackend().put(bytes(2000), path)
    except OSError:
        os._exit(3)


def test_failed_write_changes_nothing(tmp_path):
    path = tmp_path / 'file'
    path.write_text('before')
    writer = FORK.Process(target=write_with_limit, args=(str(path),))
    writer.start()
    writer.join()
    assert writer.exitcode == 3
    assert path.read_text() == 'before'
    assert os.listdir(tmp_path) == ['file']


def test_links_and_devices_stay(tmp_path):
    link, file = tmp_path / 'link', tmp_path / 'file'
    link.symlink_to(file)
    AtomicLocalBackend().put(b'x', link)
    assert link.is_symlink() and file.read_bytes() == b'x'
    AtomicLocalBackend().put_text('x', '/dev/null')
    assert Path('/dev/null').is_char_device()


def test_mode_stays_and_names_may_be_long(tmp_path):
    path = tmp_path / ('x' * 245 + '.json')
    path.write_text('before')
    path.chmod(0o664)
    AtomicLocalBackend().put_text('after', path)
    assert path.read_text() == 'after'
    assert stat.S_IMODE(path.stat().st_mode) == 0o664


@pytest.mark.parametrize('error', [OSError(22, 'EINVAL'), PermissionError(13)])
def test_a_folder_that_cannot_be_synced_is_no_error(
    tmp_path, monkeypatch, error
):
    """Network and FUSE file systems refuse to, and Windows opens none."""
    sync, synced = os.fsync, []

    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise error
        synced.append(sync(descriptor))

    monkeypatch.setattr(os, 'fsync', fsync)
    AtomicLocalBackend().put(b'x', tmp_path / 'file')
    assert synced and os.listdir(tmp_path) == ['file']
    assert (tmp_path / 'file').read_bytes() == b'x'


def test_the_import_leaves_backends_of_others_alone():
    assert type(get_file_backend('file')) is LocalBackend


def test_limit_of_memory_ends_with_its_last_thread():
    before = resource.getrlimit(resource.RLIMIT_AS)
    inside, leave = threading.Barrier(2), threading.Event()

    def limited():
        with files.memory_limit():
            inside.wait(10)
            leave.wait(10)

    with files.memory_limit():
        thread = threading.Thread(target=limited)
        thread.start()
        inside.wait(10)
        assert resource.getrlimit(resource.RLIMIT_AS) != before
    assert resource.getrlimit(resource.RLIMIT_AS) != before
    leave.set()
    thread.join(10)
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def steps_in(folder):
    return sorted(int(p.stem[5:]) for p in Path(folder).glob('iter_*.pth'))


def test_outdated_checkpoint_stays_until_the_next_is_there(tmp_path):
    there = []

    class Watch(Hook):
        def before_save_checkpoint(self, runner, checkpoint):
            there.append(steps_in(runner.work_dir))

    cfg = toy_config(
        tmp_path, **{'default_hooks.checkpoint.max_keep_ckpts': 1}
    )
    runner = Runner.from_cfg(cfg)
    runner.register_hook(Watch())
    runner.train()
    assert there == [[], [3], [6], [9]]
    assert steps_in(tmp_path) == [12]
    saved = read_checkpoint(str(tmp_path / 'iter_12.pth'))
    assert saved['message_hub']['runtime_info']['keep_ckpt_ids'] == [12]


def limit_files():
    """Let no file grow to the size of a checkpoint with ballast."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))


def best_config(work_dir, metrics, **options):
    """Return a config whose metric ``a`` rises, and ``b`` falls after 6."""
    return toy_config(
        work_dir,
        val_evaluator=dict(type='Rising'),
        **{
            'train_cfg.val_interval': 3,
            'default_hooks.checkpoint.save_best': metrics,
            'default_hooks.checkpoint.rule': 'greater',
            **options,
        },
    )


def best_in(folder):
    return sorted(path.stem for path in Path(folder).glob('best_*'))


@pytest.mark.parametrize(
    ('metrics', 'at_the_end'),
    [
        ('auto', ['best_a_iter_12']),
        (['a', 'b'], ['best_a_iter_12', 'best_b_iter_6']),
    ],
)
def test_best_checkpoint_stays_until_the_next_is_there(
    tmp_path, metrics, at_the_end
):
    there = []

    class Watch(Hook):
        def before_save_checkpoint(self, runner, checkpoint):
            there.append(best_in(runner.work_dir))

    runner = Runner.from_cfg(best_config(tmp_path, metrics))
    runner.register_hook(Watch())
    runner.train()
    number = len(at_the_end)
    first = [i for i, names in enumerate(there) if len(names) >= number][0]
    assert all(len(names) >= number for names in there[first:])
    assert best_in(tmp_path) == at_the_end


def test_best_checkpoint_that_cannot_be_written(tmp_path):
    work_dir, ballast = tmp_path / 'work', dict(model=dict(ballast=100_000))
    short = {'train_cfg.max_iters': 3}
    Runner.from_cfg(best_config(work_dir, 'a', **short, **ballast)).train()
    before = (work_dir / 'best_a_iter_3.pth').read_bytes()
    cfg = best_config(work_dir, 'a', resume=True, **ballast)
    cfg.default_hooks.checkpoint.interval = 100
    assert train(cfg, limit_files) == 1
    (line,) = errors_of(cfg)
    assert 'the best checkpoint could not be saved: File too' in line
    assert best_in(work_dir) == ['best_a_iter_3']
    assert (work_dir / 'best_a_iter_3.pth').read_bytes() == before


def test_copied_work_dir_goes_on_with_its_own(tmp_path):
    """Nor does it take away the original's best."""
    original, copy = tmp_path / 'a', tmp_path / 'b'
    options = {'train_cfg.max_iters': 9}
    Runner.from_cfg(best_config(original, 'a', **options)).train()
    shutil.copytree(original, copy)
    before = {p: p.read_bytes() for p in original.rglob('*') if p.is_file()}
    # the metric begins anew, and is better than 3 at its fourth evaluation
    options = {'train_cfg.max_iters': 18, 'resume': True}
    runner = Runner.from_cfg(best_config(copy, 'a', **options))
    lines = listen(runner)
    runner.train()
    assert any(f'Load checkpoint from {copy}/iter_9' in line for line in lines)
    assert best_in(copy) == ['best_a_iter_18']
    assert before == {
        p: p.read_bytes() for p in original.rglob('*') if p.is_file()
    }


def test_checkpoint_that_cannot_be_written(tmp_path):
    work_dir = tmp_path / 'work'
    options = {
        'model': dict(ballast=100_000),
        'default_hooks.checkpoint.max_keep_ckpts': 1,
    }
    Runner.from_cfg(
        toy_config(work_dir, **options, **{'train_cfg.max_iters': 3})
    ).train()
    before = (work_dir / 'iter_3.pth').read_bytes()
    cfg = toy_config(work_dir, resume=True, **options)
    assert train(cfg, limit_files) == 1
    (line,) = errors_of(cfg)
    assert f'{work_dir}/iter_6.pth could not be saved: File too' in line
    assert f'{work_dir}/iter_3.pth is whole' in line
    assert '--resume' in line
    assert 'Traceback' not in output_of(cfg)
    assert steps_in(work_dir) == [3]
    assert (work_dir / 'iter_3.pth').read_bytes() == before
    assert not list(work_dir.glob('.*'))
    assert train(cfg) == 0
    assert steps_in(work_dir) == [12]


def test_initial_weights_are_no_checkpoint_to_go_on_from(tmp_path):
    weights = f'{tmp_path}/weights.pth'
    options = dict(model=dict(ballast=100_000), load_from=weights)
    cfg = toy_config(tmp_path / 'work', **options)
    model = Runner.from_cfg(cfg).model
    torch.save(dict(state_dict=model.state_dict()), weights)
    assert train(cfg, limit_files) == 1
    (line,) = errors_of(cfg)
    assert 'none was saved before' in line and weights not in line


@pytest.fixture
def small_disk(tmp_path):
    """A file system of a megabyte."""
    place = tmp_path / 'disk'
    place.mkdir()
    mount = ['mount', '-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', str(place)]
    if not shutil.which('mount') or subprocess.call(mount, stderr=-3):
        pytest.skip('may not mount a small file system here')
    yield place
    subprocess.check_call(['umount', str(place)])


def test_full_disk(small_disk):
    cfg = toy_config(small_disk, model=dict(ballast=200_000))
    assert train(cfg) == 1
    (line,) = errors_of(cfg)
    assert 'could not be saved: No space left on device' in line
    assert 'Traceback' not in output_of(cfg)
    *_, last = steps_in(small_disk)
    assert f'iter_{last}.pth is whole' in line
    assert read_checkpoint(f'{small_disk}/iter_{last}.pth')
    noted = (small_disk / 'last_checkpoint').read_text()
    assert Path(noted) == small_disk / f'iter_{last}.pth'
    assert not list(small_disk.glob('.*'))


def halve(path):
    os.truncate(path, path.stat().st_size // 2)


def empty(path):
    os.truncate(path, 0)


def change_weights(path):
    """Change a byte of a tensor, which torch.load itself does not see."""
    content = bytearray(path.read_bytes())
    at = content.index(b'data/0') + 200
    content[at] ^= 255
    path.write_bytes(content)


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp('trained')
    Runner.from_cfg(toy_config(folder / 'work')).train()
    return folder / 'work'


def resumed_at(work_dir):
    """Return the iteration from which a run resumes, and its warnings."""
    runner = Runner.from_cfg(toy_config(work_dir, resume=True))
    lines = listen(runner)
    runner.train()
    (start,) = (line for line in lines if 'resumed epoch' in line)
    warnings = [line for line in lines if 'is passed over' in line]
    return int(start.rpartition(' ')[2]), warnings


@pytest.mark.parametrize('damage', [halve, empty, change_weights, Path.unlink])
def test_damaged_newest_is_named_and_the_one_before_taken(
    trained, tmp_path, damage
):
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'iter_12.pth'))
    damage(tmp_path / 'iter_12.pth')
    step, (warning,) = resumed_at(tmp_path)
    assert step == 9
    assert f'{tmp_path}/iter_12.pth is passed over' in warning
    assert resumed_at(tmp_path) == (12, [])


@pytest.mark.parametrize('note', ['', 'iter_', None, '/elsewhere/iter_12.pth'])
def test_note_of_the_newest_is_not_needed(trained, tmp_path, note):
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    (tmp_path / 'last_checkpoint').unlink()
    if note is not None:
        (tmp_path / 'last_checkpoint').write_text(note)
    assert resumed_at(tmp_path)[0] == 12


def test_note_goes_before_what_is_written_later(trained, tmp_path):
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'iter_6.pth'))
    assert resumed_at(tmp_path) == (6, [])


def test_nothing_whole_is_an_error(trained, tmp_path):
    for step in (3, 6):
        (tmp_path / f'iter_{step}.pth').write_bytes(b'no')
    runner = Runner.from_cfg(toy_config(tmp_path, resume=True))
    with pytest.raises(ValueError, match='none of the 2 checkpoints in .*new'):
        runner.train()


def test_nothing_there_is_a_start(tmp_path):
    Runner.from_cfg(cfg := toy_config(tmp_path, resume=True)).train()
    assert log_of(cfg)[0]['step'] == 1


def test_parts_of_killed_processes_are_removed(tmp_path):
    (tmp_path / '.iter_3.pth.77.part').write_bytes(b'half')
    Runner.from_cfg(toy_config(tmp_path)).train()
    assert not list(tmp_path.glob('.*'))
