"""``python -m fbnetv3_mmdet TOOL …``: the scripts of ``tools/``.

A wheel brings them along; this runs them without ``mim``.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

TOOLS = Path(__file__).parent / '.mim' / 'tools'


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
        del sys.argv[1]
        runpy.run_path(str(TOOLS / f'{name}.py'), run_name='__main__')


if __name__ == '__main__':
    main()
