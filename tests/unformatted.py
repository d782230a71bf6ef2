"""Configs are written as they are, by importing this.

MMEngine has yapf format a run's config for its log, its folder and each of its
checkpoints: a second each, most of what a small training takes.
"""

import mmengine.config.config
from yapf.yapflib import yapf_api


def unformatted(text, **_):
    """Stand in for yapf's ``FormatCode``."""
    return text, False


for module in (yapf_api, mmengine.config.config):  # either imports it
    module.FormatCode = unformatted
