"""lazy: what MMDetection imports for few is loaded for those few."""

import subprocess
import sys

SCRIPT = """
import sys
import fbnetv3_mmdet
heavy = ['imgaug', 'pandas', 'sklearn', 'torchvision', 'torch._dynamo']
print(*(name for name in heavy if name in sys.modules))
from mmdet.models.task_modules.tracking import interpolation
kernel = interpolation.RBF(length_scale=2.0)  # taken from a stand-in
import sklearn.gaussian_process.kernels as real
print(type(kernel) is real.RBF, kernel.length_scale)
import torchvision, torch
print(torchvision.ops.nms(torch.eye(4), torch.ones(4), 0.5).tolist())
"""


def test_heavy_packages_are_loaded_at_first_use():
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', SCRIPT],
        capture_output=True,
        text=True,
    )
    lines = done.stdout.splitlines()
    assert lines[-3:] == ['', 'True 2.0', '[0, 1, 2, 3]'], done.stderr
