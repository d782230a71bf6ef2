"""The engine: checks and single detections, in a process with PyTorch.

    python -m fbnetv3_mmdet.playground.engine

It reads a call a line, ``{"number": …, "name": …, "arguments": {…}}``, and
answers with a line, ``{"number": …, "result": …}`` or ``"error"`` instead. It
ends when nobody has asked for ten minutes, and may be killed at any time.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import sys
import tempfile
from pathlib import Path
from typing import Any

from .detecting import compare, detect
from .inspecting import browse, examine, twins

IDLE = 600  # seconds


def main() -> None:
    """Answer calls until there are no more."""
    answers = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)  # what libraries print is no answer
    os.nice(10)  # beside a training
    _load()
    calls = open(0, 'rb', buffering=0)  # select() sees no buffer of ours
    while select.select([calls], [], [], IDLE)[0]:
        line = calls.readline()
        if not line:
            return
        call = json.loads(line)
        try:
            answer = {'result': CALLS[call['name']](**call['arguments'])}
        except Exception as error:  # the page shows it, and goes on
            answer = {'error': f'{type(error).__name__}: {error}'}
            if isinstance(error, ValueError):
                answer = {'error': str(error)}
        answer['number'] = call['number']
        answers.write(json.dumps(answer) + '\n')
        answers.flush()


def _load() -> None:
    """Fill the registries, which ``-m`` left empty."""
    sys.argv[0] = __file__
    importlib.reload(sys.modules['fbnetv3_mmdet'])


def check(text: str, values: dict[str, Any], root: str) -> dict[str, Any]:
    """Return what is wrong with a config that the form made.

    Args:
        text: Of the config.
        values: Of the form, by the settings' names.
        root: Working directory of the training.

    Returns:
        dict: ``faults``, lines by the name of the field ('' where no field
        is at fault).
    """
    from ..cli import load_config
    from ..paths import get_setting
    from ..training.settings import find_faults
    from .forms import FORM

    os.chdir(root)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'mine.py')
        path.write_text(text)
        cfg = load_config(str(path))
    plain = cfg.to_dict()
    for setting in FORM:  # the text says what the form does
        if get_setting(plain, setting.path) != values[setting.name]:
            raise RuntimeError(f'{setting.path} is lost in the config')
    faults: dict[str, list[str]] = {}
    for fault in find_faults(cfg, ('train', 'val')):
        names = [s.name for s in FORM if _concerns(fault.paths, s.path)]
        for name in names or ['']:
            faults.setdefault(name, []).append(str(fault))
    return {'faults': faults}


def _concerns(paths: tuple[str, ...], path: str) -> bool:
    """Whether a fault at some paths is one of the setting at a path."""
    return any(
        path == other
        or path.startswith(f'{other}.')
        or other.startswith(f'{path}.')
        for other in paths
    )


CALLS = {
    f.__name__: f for f in (check, detect, compare, examine, twins, browse)
}

if __name__ == '__main__':
    main()
