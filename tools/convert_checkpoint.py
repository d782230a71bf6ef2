"""Convert a checkpoint of D2Go to MMDetection's layout, or back.

Which way follows from what the file holds. Averaged weights (EMA) of D2Go's
are taken where it has them; write ?ema=0 behind its path for the others.

Examples:
    python tools/convert_checkpoint.py model_final.pth converted.pth
    python tools/convert_checkpoint.py mask_rcnn_fbnetv3a_C4 converted.pth
    python tools/convert_checkpoint.py work_dirs/demo/iter_1000.pth d2go.pth
    python tools/convert_checkpoint.py --check CONFIG converted.pth
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import fbnetv3_mmdet  # noqa: F401  MMDetection needs its mmcv.ops

# isort: split
import torch
from mmdet.registry import MODELS
from mmengine.registry import init_default_scope
from torch import Tensor

from fbnetv3_mmdet.checkpoints import (
    compare,
    is_extra,
    read_checkpoint,
    read_d2go,
    to_d2go,
)
from fbnetv3_mmdet.cli import load_config
from fbnetv3_mmdet.errors import user_errors
from fbnetv3_mmdet.files import complete_file


def main(argv: Sequence[str] | None = None) -> None:
    """Run the tool."""
    args = _parse(argv)
    with user_errors():
        if bool(args.check) == bool(args.target):
            raise ValueError(
                'give either the file to write, or --check and the config to '
                'compare with; --help shows how'
            )
        if args.check:
            fits = check(args.check, args.source)
            raise SystemExit(0 if fits else 1)
        convert(args.source, args.target)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        'source', help="a file, or the name of one of D2Go's published models"
    )
    parser.add_argument(
        'target', nargs='?', help='the file to write, which must not exist'
    )
    parser.add_argument(
        '--check',
        metavar='CONFIG',
        help='write nothing, but print what of the source does not fit the '
        "config's model; status 1 if it would not load",
    )
    return parser.parse_args(argv)


def convert(source: str, target: str) -> None:
    """Write a checkpoint in the other layout.

    Raises:
        ValueError: The source cannot be converted, or the target exists.
    """
    if os.path.lexists(target):
        raise ValueError(
            f'target={target!r} exists; choose another name, or remove it'
        )
    state, from_d2go = load(source)
    dropped = [name for name in state if is_extra(name)]
    state = {n: value for n, value in state.items() if not is_extra(n)}
    if from_d2go:
        layout, checkpoint = "MMDetection's", dict(state_dict=state)
    else:
        layout, checkpoint = "D2Go's", dict(model=to_d2go(state))
    with complete_file(Path(target)) as path:
        torch.save(checkpoint, path)
    print(f'{target}: {len(state)} tensors in {layout} layout')
    if dropped:
        print(f'dropped {len(dropped)}: {", ".join(dropped)}')


def check(config: str, source: str) -> bool:
    """Print what of a checkpoint does not fit a config's model.

    Returns:
        bool: Whether it would load.
    """
    cfg = load_config(config)
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    model = MODELS.build(cfg.model)
    state, _ = load(source)
    found = compare(state, model.state_dict())
    for kind, names in (
        ('missing', found.missing),
        ('mis-shaped', found.misshaped),
        ('for another number of classes', found.per_class),
        ('not in the model', found.extra),
    ):
        for name in names:
            print(f'{kind}: {name}')
    num_fitting = len(state) - sum(map(len, found[1:]))
    verdict = 'does not fit' if found.problem else 'fits'
    print(f'{source} {verdict} {config}: {num_fitting} tensors agree')
    return not found.problem


def load(source: str) -> tuple[Mapping[str, Tensor], bool]:
    """Return tensors by our names, and whether they are D2Go's."""
    if os.path.isfile(source):
        file = read_checkpoint(source)
        if isinstance(file, Mapping) and 'state_dict' in file:
            return file['state_dict'], False
    return read_d2go(source.removeprefix('d2go://')), True


if __name__ == '__main__':
    main()
