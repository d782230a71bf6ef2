"""FBNetV3 detectors for MMDetection 3.x; importing fills its registries."""

import sys

__version__ = '0.1.0'

# For ``python -m fbnetv3_mmdet TOOL``, Python imports this before it knows
# the tool: ``__main__`` fills the registries then. The playground's server
# has no use for them, nor for the seconds and the memory that PyTorch takes.
if sys.argv[:1] != ['-m']:
    from .registered import *  # noqa: F403
