"""Run one of MMDetection's own scripts where mmcv's compiled ops are missing.

Some of them import MMDetection's models before they read a config, so that
its ``custom_imports`` come too late to bring the ops. Usage:
``python tools/run_mmdet.py browse_dataset CONFIG``.
"""

import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

import mmdet

import fbnetv3_mmdet  # noqa: F401  MMDetection needs its mmcv.ops
from fbnetv3_mmdet.errors import user_errors


def main(argv: Sequence[str] | None = None) -> None:
    """Run the script that the first argument names with the others."""
    name, *arguments = (sys.argv[1:] if argv is None else argv) or ['']
    with user_errors():
        script = find_script(name)
    sys.argv = [str(script), *arguments]
    sys.path.insert(0, str(script.parent))  # as Python does for a script
    runpy.run_path(str(script), run_name='__main__')


def find_script(name: str) -> Path:
    """Return the path of a script by its name.

    Raises:
        ValueError: MMDetection has no such script.
    """
    folder = Path(mmdet.__file__).parent / '.mim/tools'
    scripts = {path.stem: path for path in sorted(folder.rglob('*.py'))}
    if name not in scripts:
        raise ValueError(
            f'{name!r} is no script of MMDetection; choose one of '
            f'{sorted(scripts)}'
        )
    return scripts[name]


if __name__ == '__main__':
    main()
