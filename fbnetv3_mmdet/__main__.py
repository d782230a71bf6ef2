"""``python -m fbnetv3_mmdet TOOL …``: the scripts of ``tools/``.

A wheel brings them along; this runs them without ``mim``.
"""

from __future__ import annotations

import importlib
import runpy
import sys
from pathlib import Path

TOOLS = Path(__file__).parent / '.mim' / 'tools'
LIGHT = ('playground',)  # need neither PyTorch nor the registries


def main() -> None:
    """Run the tool that the command line names, with what follows it."""
    tools = sorted(path.stem for path in TOOLS.glob('*.py'))
    name = sys.argv[1] if len(sys.argv) > 1 else ''
    if name in ('-h', '--help'):
        print(f'usage: python -m fbnetv3_mmdet {{{",".join(tools)}}} ...')
    elif name not in tools:
        sys.stderr.write(
            f'error: tool={name!r} is unknown; choose one of {tools}\n'
        )
        raise SystemExit(2)
    else:
        script = str(TOOLS / f'{name}.py')
        sys.argv = [script, *sys.argv[2:]]
        if name not in LIGHT:
            importlib.reload(sys.modules[__package__])  # whole, by now
        runpy.run_path(script, run_name='__main__')


if __name__ == '__main__':
    main()
