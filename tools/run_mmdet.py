"""Run one of MMDetection's own scripts where mmcv's compiled ops are missing.

Some of them import MMDetection's models before they read a config, so that
its ``custom_imports`` come too late to bring the ops. Of two scripts of one
name the one in the outer folder is meant; the other has its folder before it.

Examples:
    python tools/run_mmdet.py browse_dataset CONFIG --output-dir pictures
    python tools/run_mmdet.py mot/browse_dataset CONFIG
"""

import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

import mmdet

import fbnetv3_mmdet  # noqa: F401  MMDetection needs its mmcv.ops
from fbnetv3_mmdet.errors import user_errors

FOLDER = Path(mmdet.__file__).parent / '.mim' / 'tools'


def main(argv: Sequence[str] | None = None) -> None:
    """Run the script that the first argument names with the others."""
    name, *arguments = (sys.argv[1:] if argv is None else argv) or ['']
    with user_errors():
        script = find_script(name)
    sys.argv = [str(script), *arguments]
    sys.path.insert(0, str(script.parent))  # as Python does for a script
    sys.path.append(str(FOLDER.parent))  # some import MMDetection's `tools`
    try:
        runpy.run_path(str(script), run_name='__main__')
    except ModuleNotFoundError as error:
        sys.stderr.write(
            f'error: {name} needs {error.name!r}, which is not installed: '
            f'pip install {error.name.partition(".")[0]}\n'
        )
        raise SystemExit(2) from None


def find_script(name: str) -> Path:
    """Return the path of a script by its name, with or without its folders.

    Raises:
        ValueError: MMDetection has no such script.
    """
    scripts: dict[str, Path] = {}
    for path in sorted(FOLDER.rglob('*.py'), key=lambda p: len(p.parts)):
        *folders, stem = path.relative_to(FOLDER).with_suffix('').parts
        for i in range(len(folders) + 1):
            scripts.setdefault('/'.join([*folders[i:], stem]), path)
    if name not in scripts:
        short = sorted(known for known in scripts if '/' not in known)
        raise ValueError(
            f'{name!r} is no script of MMDetection; choose one of {short}'
        )
    return scripts[name]


if __name__ == '__main__':
    main()
