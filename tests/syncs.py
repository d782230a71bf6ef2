"""Counts how often a computation waits for what it has computed so far."""

from collections import Counter

from torch.utils._python_dispatch import TorchDispatchMode

# What Python, or the size of a result, takes from a tensor's values.
_WAITING = {'_local_scalar_dense', 'equal', 'masked_select', 'nms', 'nonzero'}


class Syncs(TorchDispatchMode):
    """Counts operations that need values on the host; a GPU waits for them.

    Within the ``with``, on any device.

    Attributes:
        counts (Counter): Of each operation.
    """

    def __init__(self):
        super().__init__()
        self.counts = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name == 'index' and any(
            index is not None and index.dtype.itemsize == 1
            for index in args[1]
        ):
            name = 'nonzero'  # indexed by a mask
        if name in _WAITING:
            self.counts[name] += 1
        return func(*args, **(kwargs or {}))
