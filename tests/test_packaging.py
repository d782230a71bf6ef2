"""Wheel and sdist, and what `mim` does with an installed wheel."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.fileio import load

import fbnetv3_mmdet

ROOT = Path(__file__).resolve().parents[1]
MAKEFILE = (ROOT / 'Makefile').read_text()
DEMO = re.search(r'^DEMO := .*/(.+)\.py$', MAKEFILE, re.M)[1]
PURELIB = 'import sysconfig; print(sysconfig.get_path("purelib"))'
# A few small scenes, two iterations, no worker processes.
OPTIONS = {
    'train_cfg.max_iters': 2,
    'train_cfg.val_interval': 2,
    'default_hooks.checkpoint.interval': 2,
    'train_dataloader.batch_size': 2,
    'train_dataloader.dataset.num_images': 4,
    **{
        f'{split}_dataloader.{key}': value
        for split in ('train', 'val', 'test')
        for key, value in (('num_workers', 0), ('persistent_workers', False))
    },
    'val_dataloader.dataset.num_images': 2,
    'test_dataloader.dataset.num_images': 2,
}
TINY = ['--cfg-options', *(f'{k}={v}' for k, v in OPTIONS.items())]
needs_mim = pytest.mark.skipif(
    importlib.util.find_spec('mim') is None, reason='mim is not installed'
)


def run(*command, cwd, **env):
    """Run a command that must succeed; return what it printed."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def shipped():
    """Return the bytes of every file that belongs under .mim."""
    paths = [
        path
        for folder in ('configs', 'tools')
        for path in (ROOT / folder).rglob('*')
        if path.suffix in ('.py', '.yml')
    ]
    return {
        f'fbnetv3_mmdet/.mim/{path.relative_to(ROOT)}': path.read_bytes()
        for path in [*paths, ROOT / 'model-index.yml']
    }


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    """A copy of the clone: building leaves files beside the source."""
    copy = tmp_path_factory.mktemp('source') / 'clone'
    anywhere = shutil.ignore_patterns('.git', '.venv*', '*.egg-info')
    at_the_root = {'build', 'data', 'dist', 'work_dirs'}

    def aside(folder, names):
        more = at_the_root if Path(folder) == ROOT else set()
        return anywhere(folder, names) | (more & set(names))

    return shutil.copytree(ROOT, copy, symlinks=True, ignore=aside)


@pytest.fixture(scope='module')
def dists(source):
    """The folder of an sdist and of the wheel that was built from it."""
    run(
        sys.executable, '-m', 'build', '--no-isolation', '-o', 'dist', '.',
        cwd=source,
    )  # fmt: skip
    return source / 'dist'


@pytest.fixture(scope='module')
def installed(dists, tmp_path_factory):
    """The Python of a fresh environment that has the wheel.

    What the wheel depends on is read from the running environment.
    """
    venv = tmp_path_factory.mktemp('venv')
    python = venv / 'bin/python'
    run(sys.executable, '-m', 'venv', '--without-pip', venv, cwd=venv)
    site = run(python, '-c', PURELIB, cwd=venv).strip()
    Path(site, 'outer.pth').write_text(sysconfig.get_path('purelib'))
    (wheel,) = dists.glob('*.whl')
    run(
        sys.executable, '-m', 'pip', '--python', python, 'install',
        '--no-deps', '--no-index', wheel, cwd=venv,
    )  # fmt: skip
    return python


@pytest.fixture(scope='module')
def mim(installed, tmp_path_factory):
    """Run a `mim` command of the fresh environment, outside the clone."""
    home = tmp_path_factory.mktemp('home')  # mim makes a cache there

    def call(*command, cwd):
        return run(
            installed, '-m', 'mim', *command, cwd=cwd, HOME=str(home),
            PYTHONPATH='',
        )  # fmt: skip

    return call


@pytest.mark.slow
def test_wheel_and_sdist_carry_configs_and_tools(dists):
    (wheel,) = dists.glob('*.whl')
    with zipfile.ZipFile(wheel) as archive:
        in_wheel = {
            name: archive.read(name)
            for name in archive.namelist()
            if '/.mim/' in name
        }
    (sdist,) = dists.glob('*.tar.gz')
    with tarfile.open(sdist) as archive:
        in_sdist = {
            member.name.partition('/')[2]: archive.extractfile(member).read()
            for member in archive.getmembers()
            if '/.mim/' in member.name and member.isfile()
        }
    assert in_wheel == shipped()
    assert in_sdist == shipped()


@pytest.mark.slow
def test_wheel_from_the_clone_equals_wheel_from_the_sdist(source, dists):
    run(
        sys.executable, '-m', 'build', '--wheel', '--no-isolation',
        '-o', 'direct', '.', cwd=source,
    )  # fmt: skip
    (direct,) = (source / 'direct').glob('*.whl')
    with zipfile.ZipFile(direct) as archive:
        names = archive.namelist()
    with zipfile.ZipFile(dists / direct.name) as archive:
        assert archive.namelist() == names


@pytest.mark.slow
def test_wheel_requires_little_and_says_what_it_is(dists):
    (wheel,) = dists.glob('*.whl')
    (dist,) = metadata.distributions(path=[str(wheel)])
    base = {
        re.match('[a-z]+', name.lower()).group()
        for name in dist.requires
        if 'extra ==' not in name
    }
    assert base == {'numpy', 'pillow'}
    assert dist.metadata['Name'] == 'mmdet-fbnetv3'
    assert dist.metadata['License-Expression'] == 'Apache-2.0'
    assert dist.version == fbnetv3_mmdet.__version__


def test_metafile_lists_every_config():
    models = load(ROOT / 'configs/fbnetv3/metafile.yml')['Models']
    paths = (ROOT / 'configs/fbnetv3').glob('*.py')
    assert {model['Name']: model['Config'] for model in models} == {
        path.stem: f'configs/fbnetv3/{path.name}' for path in paths
    }


def test_one_version_of_ruff():
    pins = [
        re.findall(r'ruff==([\d.]+)', (ROOT / name).read_text())
        for name in ('constraints.txt', '.pre-commit-config.yaml')
    ]
    assert len(set(sum(pins, []))) == 1
    assert all(pins)


def test_import_without_mmdet_names_the_remedy():
    done = subprocess.run(
        [sys.executable, '-S', '-c', 'import fbnetv3_mmdet'],
        cwd=ROOT,
        env={'PATH': os.environ['PATH']},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "ImportError: fbnetv3_mmdet needs MMDetection, and 'mmdet' is "
        'missing: pip install "mmdet-fbnetv3[onedl]"'
    )


@pytest.mark.slow
def test_mim_finds_the_package_first(installed, tmp_path):
    """onedl-mim goes by the first installed file, openmim by the first name.

    A console script or a plain top-level module would come before.
    """
    site = run(installed, '-c', PURELIB, cwd=tmp_path).strip()
    (info,) = Path(site).glob('mmdet_fbnetv3-*.dist-info')
    files = (info / 'RECORD').read_text().splitlines()
    assert any('__pycache__' in file for file in files)  # as pip installs
    assert files[0].startswith('fbnetv3_mmdet/')
    names = (info / 'top_level.txt').read_text().split()
    assert names == ['fbnetv3_mmdet', 'fbnetv3_runtime']


@pytest.mark.slow
@needs_mim
def test_mim_trains_and_tests_by_config_name(mim, tmp_path):
    trained = mim(
        'train', 'mmdet-fbnetv3', f'{DEMO}.py', '--work-dir', 'run', *TINY,
        cwd=tmp_path,
    )  # fmt: skip
    assert 'bbox_mAP' in trained
    tested = mim(
        'test', 'mmdet-fbnetv3', f'{DEMO}.py', '--checkpoint',
        'run/iter_2.pth', '--work-dir', 'run', *TINY, cwd=tmp_path,
    )  # fmt: skip
    assert 'bbox_mAP' in tested
    for folder in ('fbnetv3_mmdet', 'configs', 'tools'):
        assert str(ROOT / folder) not in trained + tested


@pytest.mark.slow
@needs_mim
def test_mim_tests_an_exported_file(mim, tmp_path):
    pytest.importorskip('onnx')
    from runtime_model import save_colors

    save_colors(tmp_path / 'model.onnx', classes=[*'0123456789'])
    tested = mim(
        'test', 'mmdet-fbnetv3', f'{DEMO}.py', '--checkpoint', 'model.onnx',
        '--work-dir', 'run', *TINY, cwd=tmp_path,
    )  # fmt: skip
    assert 'bbox_mAP' in tested


@pytest.mark.slow
def test_runtime_is_installed_as_a_command(installed, tmp_path):
    printed = run(
        installed, '-m', 'fbnetv3_runtime', '--help', cwd=tmp_path,
        PYTHONPATH='',
    )  # fmt: skip
    assert printed.startswith('usage: fbnetv3_runtime')


@pytest.mark.slow
def test_tools_run_without_mim(installed, tmp_path):
    printed = run(
        installed, '-m', 'fbnetv3_mmdet', 'browse_archs', '--arch',
        'FBNetV3_B', cwd=tmp_path, PYTHONPATH='',
    )  # fmt: skip
    assert '| FBNetV3_B ' in printed


def test_an_unknown_tool_is_one_line(tmp_path):
    done = subprocess.run(
        [sys.executable, '-m', 'fbnetv3_mmdet', 'trian'],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: tool='trian' is unknown; choose one of")
    assert "'train'" in last


@pytest.mark.slow
def test_another_projects_config_inherits_and_trains(installed, tmp_path):
    site = run(installed, '-c', PURELIB, cwd=tmp_path).strip()
    carried = Path(site, 'fbnetv3_mmdet/.mim')
    base = os.path.relpath(carried / f'configs/fbnetv3/{DEMO}.py', tmp_path)
    (tmp_path / 'mine.py').write_text(
        f'_base_ = {base!r}\n'
        'model = dict(roi_head=dict('
        'bbox_roi_extractor=dict(output_size=4)))\n'
    )
    run(
        installed, carried / 'tools/train.py', 'mine.py', '--work-dir', 'run',
        *TINY, cwd=tmp_path, PYTHONPATH='',
    )  # fmt: skip
    assert (tmp_path / 'run/iter_2.pth').is_file()


@pytest.mark.slow
@needs_mim
def test_mim_runs_a_tool(mim, tmp_path):
    printed = mim('run', 'mmdet-fbnetv3', 'browse_archs', cwd=tmp_path)
    assert 'FBNetV3_A_dsmask' in printed


@pytest.mark.slow
@needs_mim
def test_mim_downloads_a_config(mim, tmp_path):
    mim(
        'download', 'mmdet-fbnetv3', '--config', DEMO, '--dest', 'copies',
        cwd=tmp_path,
    )  # fmt: skip
    copy = Config.fromfile(tmp_path / f'copies/{DEMO}.py')
    original = Config.fromfile(ROOT / f'configs/fbnetv3/{DEMO}.py')
    assert copy.to_dict() == original.to_dict()
