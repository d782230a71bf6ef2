"""ReuseMemoryHook: memory freed in a step serves the next one."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys, types, torch
from fbnetv3_mmdet import ReuseMemoryHook

if sys.argv[1] == 'hook':
    model = torch.nn.Linear(1, 1)
    ReuseMemoryHook().before_train(types.SimpleNamespace(model=model))
faults = []
for step in range(6):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        torch.ones(1 << 24)  # 64 MiB
    after = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    faults.append(after - before)
# without the first, and what the kernel may do to one or the other
print(min(faults[1:]))
"""


def page_faults(*args):
    command = [sys.executable, '-c', FAULTS, *args]
    return int(subprocess.check_output(command, text=True).split()[-1])


@pytest.mark.skipif(
    platform.libc_ver()[0] != 'glibc', reason='it sets glibc up'
)
@pytest.mark.same_on_upstream
def test_a_step_gets_no_new_pages():
    # 4 tensors of 64 MiB, in pages of 4 KiB or of 2 MiB
    assert page_faults('without') >= 4 * 64 / 2
    assert page_faults('hook') < 32
