"""What all tests share."""

import os
from pathlib import Path

# One thread a process: OpenMP's waiting threads slow a busy machine down.
os.environ.setdefault('OMP_NUM_THREADS', '1')

import pytest  # noqa: E402
import torch  # noqa: E402
import unformatted  # noqa: E402, F401

from fbnetv3_runtime.engine import count_cores  # noqa: E402


def pytest_runtest_setup(item):
    if item.get_closest_marker('gpu') and not torch.cuda.is_available():
        pytest.skip('needs a CUDA device')


@pytest.fixture(scope='session')
def shared():
    """Folder of the reference's records beside the checkout."""
    folder = Path(__file__).parents[2] / 'shared'
    if not folder.is_dir():
        pytest.skip(f'needs the recorded tensors in {folder}')
    return folder


@pytest.fixture(autouse=True)
def fresh_globals():
    """Each test starts with what a process of MMDetection starts with."""
    from mmengine.registry import init_default_scope
    from mmengine.visualization import Visualizer

    init_default_scope('mmdet')
    yield
    # a hook takes the visualizer made last, whoever made it
    for kind in (Visualizer, *Visualizer.__subclasses__()):
        kind._instance_dict.clear()


def pytest_xdist_auto_num_workers():
    """One more than cores: tests wait for processes of their own."""
    return count_cores() + 1
