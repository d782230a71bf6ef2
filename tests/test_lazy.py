"""lazy: what MMDetection imports for few is loaded for those few."""

import subprocess
import sys

import pytest

SCRIPT = """
import sys
import fbnetv3_mmdet
from fbnetv3_mmdet.registered import PACKAGES
heavy = [*PACKAGES, 'torchvision', 'torch._dynamo']
print(*(name for name in heavy if name in sys.modules))
from mmdet.models.task_modules.tracking import interpolation
kernel = interpolation.RBF(length_scale=2.0)  # taken from a stand-in
from mmdet.models.task_modules.assigners import hungarian_assigner
rows, columns = hungarian_assigner.linear_sum_assignment([[2, 1], [1, 3]])
print(columns.tolist())
import sklearn.gaussian_process.kernels as real
print(type(kernel) is real.RBF, kernel.length_scale)
import torchvision, torch
print(torchvision.ops.nms(torch.eye(4), torch.ones(4), 0.5).tolist())
"""


@pytest.mark.same_on_upstream  # an older torchvision imports more
def test_heavy_packages_are_loaded_at_first_use():
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', SCRIPT],
        capture_output=True,
        text=True,
    )
    lines = done.stdout.splitlines()
    assert lines[-4:] == ['', '[1, 0]', 'True 2.0', '[0, 1, 2, 3]'], (
        done.stderr
    )


def test_the_command_imports_pytorch_only_for_tools_that_need_it():
    """The playground's server is up in no time, and small."""
    code = (
        'import sys; sys.argv = ["-m"]; import fbnetv3_mmdet.costs, '
        'fbnetv3_mmdet.errors, fbnetv3_mmdet.files, fbnetv3_mmdet.settings; '
        'print(sorted({"mmengine", "numpy", "torch"} & set(sys.modules)))'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True
    )
    assert done.stdout == '[]\n', done.stderr
