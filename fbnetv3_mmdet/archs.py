"""The FBNetV3 family as data; no torch here.

An architecture is a row of ``ARCHS``: a trunk of stages and the blocks of its
heads, each a tuple of :class:`Row`. The numbers are those of D2Go's table
(``d2go/modeling/modeldef`` at f4ac156, Apache-2.0) under D2Go's own names,
and, in lower case, those of timm's classifiers (``timm.models.mobilenetv3`` at
1.0, Apache-2.0), which are other networks.
"""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

# A convolution or an inverted residual, the latter with squeeze-excite or
# without: as D2Go builds them, with ReLU, then as timm does, with hard-swish.
OPS = ('conv', 'ir', 'ir_se', 'conv_hs', 'mb', 'mb_se')
PARTS = ('rpn', 'bbox', 'mask', 'kpts')
MAX_FILE = 1 << 20  # bytes, of a JSON file of rows
MAX_BLOCKS = 1000  # of an architecture; the largest of the table has 66


class Row(NamedTuple):
    """``repeats`` equal blocks; only the first uses ``stride``."""

    op: str  # one of OPS
    kernel: int
    channels: int  # output
    stride: int  # negative: upsample by -stride
    repeats: int
    expand: int = 1  # hidden channels / input channels


Rows = tuple[Row, ...]


class Arch(NamedTuple):
    """One detector: what its trunk and its heads are built of."""

    trunk: tuple[Rows, ...]  # stages; feature i has stride 2 ** (i + 1)
    rpn: Rows = ()
    bbox: Rows = ()
    mask: Rows = ()
    kpts: Rows = ()


def _last_row(trunk: tuple[Rows, ...]) -> Rows:
    """RPN blocks: the last row of the stride-16 stage, repeats and all."""
    return trunk[3][-1:]


# fmt: off
# Head blocks that several architectures share.
BOX_SMALL = (
    Row('ir', 3, 128, 2, 1, 4), Row('ir', 3, 128, 1, 2, 6),
    Row('ir', 3, 160, 1, 1, 6),
)
BOX_LARGE = (
    Row('ir', 3, 160, 2, 1, 4), Row('ir', 3, 160, 1, 2, 6),
    Row('ir', 3, 240, 1, 1, 6),
)
# 14 -> 7 -> 14 -> 28 cells for masks, 6 -> 3 -> 6 -> 12 for keypoints
UP_SMALL = (
    Row('ir', 3, 128, 2, 1, 4), Row('ir', 3, 128, 1, 2, 6),
    Row('ir', 3, 128, -2, 1, 6), Row('ir', 3, 64, -2, 1, 3),
)
UP_TINY = (
    Row('ir', 3, 64, 2, 1, 4), Row('ir', 3, 64, 1, 2, 4),
    Row('ir', 3, 64, -2, 1, 4), Row('ir', 3, 40, -2, 1, 3),
)
# 14 -> 28 cells
UP_160 = (
    Row('ir', 3, 160, 1, 1, 4), Row('ir', 3, 160, 1, 3, 6),
    Row('ir', 3, 80, -2, 1, 3),
)
UP_192 = (
    Row('ir', 3, 192, 1, 1, 4), Row('ir', 3, 192, 1, 5, 3),
    Row('ir', 3, 96, -2, 1, 3),
)
UP_FPN = (
    Row('ir', 3, 96, 1, 1, 6), Row('ir', 3, 160, 1, 3, 6),
    Row('ir', 3, 80, -2, 1, 3),
)

# Trunks: the stages of strides 2, 4, 8, 16.
DEFAULT = (
    (Row('conv', 3, 32, 2, 1), Row('ir', 3, 16, 1, 1)),
    (Row('ir', 3, 24, 2, 2, 6),),
    (Row('ir', 3, 32, 2, 3, 6),),
    (Row('ir', 3, 64, 2, 4, 6), Row('ir', 3, 96, 1, 3, 6)),
)
A = (
    (Row('conv', 3, 16, 2, 1), Row('ir', 3, 16, 1, 2)),
    (Row('ir', 5, 24, 2, 1, 4), Row('ir', 5, 24, 1, 3, 3)),
    (Row('ir_se', 5, 32, 2, 1, 4), Row('ir_se', 3, 32, 1, 3, 3)),
    (Row('ir', 5, 64, 2, 1, 4), Row('ir', 3, 64, 1, 3, 3),
     Row('ir_se', 5, 112, 1, 1, 4), Row('ir_se', 5, 112, 1, 5, 3)),
)
B = (
    (Row('conv', 3, 16, 2, 1), Row('ir', 3, 16, 1, 2)),
    (Row('ir', 5, 24, 2, 1, 4), Row('ir', 5, 24, 1, 3, 2)),
    (Row('ir_se', 5, 40, 2, 1, 5), Row('ir_se', 5, 40, 1, 4, 3)),
    (Row('ir', 5, 72, 2, 1, 5), Row('ir', 3, 72, 1, 4, 3),
     Row('ir_se', 3, 120, 1, 1, 5), Row('ir_se', 5, 120, 1, 5, 3)),
)
C = (
    (Row('conv', 3, 16, 2, 1), Row('ir', 3, 16, 1, 2)),
    (Row('ir', 5, 24, 2, 1, 5), Row('ir', 3, 24, 1, 4, 3)),
    (Row('ir_se', 5, 48, 2, 1, 5), Row('ir_se', 5, 48, 1, 4, 2)),
    (Row('ir', 5, 88, 2, 1, 4), Row('ir', 3, 88, 1, 4, 3),
     Row('ir_se', 3, 120, 1, 1, 4), Row('ir_se', 5, 120, 1, 5, 3)),
)
D = (
    (Row('conv', 3, 24, 2, 1), Row('ir', 3, 16, 1, 2)),
    (Row('ir', 3, 24, 2, 1, 5), Row('ir', 3, 24, 1, 5, 2)),
    (Row('ir_se', 5, 40, 2, 1, 4), Row('ir_se', 3, 40, 1, 4, 3)),
    (Row('ir', 3, 72, 2, 1, 5), Row('ir', 3, 72, 1, 4, 3),
     Row('ir_se', 3, 128, 1, 1, 5), Row('ir_se', 5, 128, 1, 6, 3)),
)
E = (
    (Row('conv', 3, 24, 2, 1), Row('ir', 3, 16, 1, 3)),
    (Row('ir', 5, 24, 2, 1, 4), Row('ir', 5, 24, 1, 4, 2)),
    (Row('ir_se', 5, 48, 2, 1, 4), Row('ir_se', 5, 48, 1, 4, 3)),
    (Row('ir', 5, 80, 2, 1, 5), Row('ir', 3, 80, 1, 4, 3),
     Row('ir_se', 3, 128, 1, 1, 5), Row('ir_se', 5, 128, 1, 7, 3)),
)
F = (
    (Row('conv', 3, 24, 2, 1), Row('ir', 3, 24, 1, 3)),
    (Row('ir', 5, 32, 2, 1, 4), Row('ir', 5, 32, 1, 4, 2)),
    (Row('ir_se', 5, 56, 2, 1, 4), Row('ir_se', 5, 56, 1, 4, 3)),
    (Row('ir', 5, 88, 2, 1, 5), Row('ir', 3, 88, 1, 4, 3),
     Row('ir_se', 3, 144, 1, 1, 5), Row('ir_se', 5, 144, 1, 8, 3)),
)
G = (
    (Row('conv', 3, 32, 2, 1), Row('ir', 3, 24, 1, 3)),
    (Row('ir', 5, 40, 2, 1, 4), Row('ir', 5, 40, 1, 4, 2)),
    (Row('ir_se', 5, 56, 2, 1, 4), Row('ir_se', 5, 56, 1, 4, 3)),
    (Row('ir', 5, 104, 2, 1, 5), Row('ir', 3, 104, 1, 4, 3),
     Row('ir_se', 3, 160, 1, 1, 5), Row('ir_se', 5, 160, 1, 8, 3)),
)
H = (
    (Row('conv', 3, 48, 2, 1), Row('ir', 3, 32, 1, 4)),
    (Row('ir', 5, 64, 2, 1, 4), Row('ir', 5, 64, 1, 6, 2)),
    (Row('ir_se', 5, 80, 2, 1, 4), Row('ir_se', 5, 80, 1, 6, 3)),
    (Row('ir', 5, 160, 2, 1, 5), Row('ir', 3, 160, 1, 6, 3),
     Row('ir_se', 3, 240, 1, 1, 5), Row('ir_se', 5, 240, 1, 12, 3)),
)
A_DSMASK = (
    (Row('conv', 3, 16, 2, 1), Row('ir', 3, 16, 1, 1)),
    (Row('ir', 5, 32, 2, 1, 4), Row('ir', 5, 32, 1, 1, 2)),
    (Row('ir', 5, 40, 2, 1, 4), Row('ir', 3, 40, 1, 3, 3)),
    (Row('ir', 5, 72, 2, 1, 4), Row('ir', 3, 72, 1, 3, 3),
     Row('ir', 5, 112, 1, 1, 4), Row('ir', 5, 112, 1, 3, 4)),
)
A_TINY = (
    (Row('conv', 3, 8, 2, 1), Row('ir', 3, 8, 1, 1)),
    (Row('ir', 5, 16, 2, 1, 3), Row('ir', 5, 16, 1, 1, 2)),
    (Row('ir', 5, 24, 2, 1, 4), Row('ir', 3, 24, 1, 2, 3)),
    (Row('ir', 5, 40, 2, 1, 4), Row('ir', 3, 40, 1, 2, 3),
     Row('ir', 5, 64, 1, 1, 4), Row('ir', 5, 64, 1, 2, 3)),
)
B_LIGHT = (
    (Row('conv', 3, 16, 2, 1), Row('ir', 3, 16, 1, 2)),
    (Row('ir', 5, 24, 2, 1, 4), Row('ir', 5, 24, 1, 2, 2)),
    (Row('ir', 5, 40, 2, 1, 5), Row('ir', 5, 40, 1, 3, 3)),
    (Row('ir', 5, 72, 2, 1, 5), Row('ir', 3, 72, 1, 4, 3),
     Row('ir', 3, 120, 1, 1, 5), Row('ir', 5, 120, 1, 5, 3)),
)
B_LARGE = (
    (Row('conv', 3, 16, 2, 1), Row('ir', 3, 16, 1, 2)),
    (Row('ir', 5, 24, 2, 1, 4), Row('ir', 5, 24, 1, 3, 2)),
    (Row('ir', 5, 40, 2, 1, 5), Row('ir', 5, 40, 1, 4, 3)),
    B_LIGHT[3],
)

# The region stage (stride 16 -> 32): box blocks of the C4 detectors, and the
# trunk's fifth stage in the C5 and FPN ones.
A_C5 = (
    Row('ir_se', 5, 184, 2, 1, 4), Row('ir_se', 3, 184, 1, 4, 4),
    Row('ir_se', 5, 200, 1, 1, 6),
)
A_DSMASK_C5 = (
    Row('ir', 5, 184, 2, 1, 4), Row('ir', 3, 184, 1, 4, 4),
    Row('ir', 5, 200, 1, 1, 6),
)
A_TINY_C5 = (
    Row('ir', 3, 64, 2, 1, 4), Row('ir', 3, 64, 1, 2, 4),
    Row('ir', 3, 80, 1, 1, 4),
)
B_C5 = (
    Row('ir_se', 3, 184, 2, 1, 6), Row('ir_se', 5, 184, 1, 5, 4),
    Row('ir_se', 5, 224, 1, 1, 6),
)
B_LIGHT_C5 = (
    Row('ir', 3, 184, 2, 1, 6), Row('ir', 5, 184, 1, 5, 4),
    Row('ir', 5, 224, 1, 1, 6),
)
C_C5 = (
    Row('ir_se', 5, 216, 2, 1, 5), Row('ir_se', 5, 216, 1, 5, 5),
    Row('ir_se', 5, 216, 1, 1, 6),
)
D_C5 = (
    Row('ir_se', 3, 208, 2, 1, 6), Row('ir_se', 5, 208, 1, 5, 5),
    Row('ir_se', 5, 240, 1, 1, 6),
)
E_C5 = (
    Row('ir_se', 3, 216, 2, 1, 6), Row('ir_se', 5, 216, 1, 5, 5),
    Row('ir_se', 5, 240, 1, 1, 6),
)
F_C5 = (
    Row('ir_se', 3, 248, 2, 1, 6), Row('ir_se', 5, 248, 1, 6, 5),
    Row('ir_se', 5, 272, 1, 1, 6),
)
G_C5 = (
    Row('ir_se', 3, 264, 2, 1, 6), Row('ir_se', 5, 264, 1, 6, 5),
    Row('ir_se', 5, 288, 1, 2, 6),
)
H_C5 = (
    Row('ir_se', 3, 400, 2, 1, 6), Row('ir_se', 5, 400, 1, 8, 5),
    Row('ir_se', 5, 480, 1, 3, 6),
)


def _as_timm(trunk: tuple[Rows, ...]) -> tuple[Rows, ...]:
    """Return the trunk as timm has it: its ops, and a convolution at the end.

    That has six times the channels of the last block, as if it expanded them.
    """
    ops = dict(conv='conv_hs', ir='mb', ir_se='mb_se')
    *stages, last = (
        tuple(row._replace(op=ops[row.op]) for row in rows) for rows in trunk
    )
    head = Row('conv_hs', 1, 6 * last[-1].channels, 1, 1)
    return (*stages, (*last, head))


ARCHS: dict[str, Arch] = {
    'default': Arch(
        DEFAULT, _last_row(DEFAULT), BOX_LARGE, UP_160, UP_160),
    'default_dsmask': Arch(
        DEFAULT, _last_row(DEFAULT), BOX_SMALL, UP_SMALL, UP_SMALL),
    'FBNetV3_A': Arch(A, _last_row(A), A_C5, UP_SMALL),
    'FBNetV3_A_C5': Arch((*A, A_C5), _last_row(A), A_C5, UP_SMALL),
    'FBNetV3_A_dsmask': Arch(
        A_DSMASK, _last_row(A_DSMASK), BOX_SMALL, UP_SMALL, UP_SMALL),
    'FBNetV3_A_dsmask_C5': Arch(
        (*A_DSMASK, A_DSMASK_C5), _last_row(A_DSMASK), BOX_SMALL,
        UP_SMALL, UP_SMALL),
    'FBNetV3_A_dsmask_tiny': Arch(
        A_TINY, _last_row(A_TINY), A_TINY_C5, UP_TINY, UP_TINY),
    'FBNetV3_B': Arch(B, _last_row(B), B_C5),
    'FBNetV3_B_C5': Arch((*B, B_C5), _last_row(B), B_C5),
    'FBNetV3_B_large': Arch(
        B_LARGE, _last_row(B_LARGE), BOX_LARGE, UP_SMALL, UP_192),
    'FBNetV3_B_light_large': Arch(
        B_LIGHT, _last_row(B_LIGHT), BOX_SMALL, UP_SMALL, UP_192),
    'FBNetV3_B_light_large_3layers': Arch(
        B_LIGHT[:3], _last_row(B_LIGHT), BOX_SMALL, UP_SMALL, UP_192),
    'FBNetV3_B_light_no_se_C5': Arch(
        (*B_LIGHT, B_LIGHT_C5), _last_row(B_LIGHT), B_LIGHT_C5),
    'FBNetV3_C': Arch(C, _last_row(C), C_C5),
    'FBNetV3_C_C5': Arch((*C, C_C5), _last_row(C), C_C5),
    'FBNetV3_D': Arch(D, _last_row(D), D_C5),
    'FBNetV3_E': Arch(E, _last_row(E), E_C5),
    'FBNetV3_F': Arch(F, _last_row(F), F_C5),
    'FBNetV3_F_C5': Arch((*F, F_C5), _last_row(F), F_C5),
    'FBNetV3_G': Arch(G, _last_row(G), G_C5, UP_160, UP_192),
    'FBNetV3_G_C5': Arch((*G, G_C5), _last_row(G), G_C5, UP_160, UP_192),
    'FBNetV3_G_fpn': Arch(
        (*G, G_C5), (_last_row(G)[0]._replace(repeats=1),), G_C5,
        UP_FPN, UP_192),
    'FBNetV3_H': Arch(H, _last_row(H), H_C5),
    'fbnetv3_b': Arch(_as_timm((*B, B_C5))),
    'fbnetv3_d': Arch(_as_timm((*D, D_C5))),
    'fbnetv3_g': Arch(_as_timm((*G, G_C5))),
}

# fmt: on


def get_arch(arch: str | Mapping[str, Any] | Arch) -> Arch:
    """Return an architecture by name, or check one given as data.

    Args:
        arch: Key of ``ARCHS``; an :class:`Arch`; its fields as a dict:
            ``trunk`` a list of stages, each a list of rows; ``rpn``, ``bbox``,
            ``mask``, ``kpts`` lists of rows; a row a dict with the fields of
            :class:`Row` (or a sequence in their order); or the path of a
            ``.json`` file that holds such a dict; a relative path starts at
            the working directory.

    Raises:
        ValueError: The name is unknown, or a field of the data is wrong.
    """
    if isinstance(arch, Arch):
        return arch
    if isinstance(arch, Mapping):
        return _arch_from_dict(arch)
    if isinstance(arch, str) and arch.endswith('.json'):
        return _arch_from_file(arch)
    if not isinstance(arch, str) or arch not in ARCHS:
        raise ValueError(
            f'arch={arch!r} is not an FBNetV3 architecture; choose one of '
            f'{sorted(ARCHS)}, or give rows of your own: a dict with trunk, '
            'rpn and bbox, or the path of a .json file with these keys'
        )
    return ARCHS[arch]


def head_rows(arch: str | Mapping[str, Any] | Arch, part: str) -> Rows:
    """Return the rows of a head, an error where the architecture has none.

    Args:
        arch: As :func:`get_arch` takes it.
        part: 'rpn', 'bbox', 'mask' or 'kpts'.

    Raises:
        ValueError: ``arch`` is wrong, or has no rows for ``part``.
    """
    rows = getattr(get_arch(arch), part)
    if not rows:
        having = sorted(n for n, a in ARCHS.items() if getattr(a, part))
        raise ValueError(
            f'arch={arch!r} has no {part!r} rows; choose one of {having}, or '
            f'give an architecture as a dict with {part!r} rows'
        )
    return rows


def make_divisible(value: float, divisor: int = 8) -> int:
    """Round a channel count half up to a multiple of ``divisor``.

    Never below ``divisor``, nor more than 5 % below ``value``.
    Source: mobile_cv's and timm's rule for FBNetV3; mmdet allows 10 %.
    """
    channels = int(value)
    if channels % divisor:
        channels = max(math.floor(value / divisor + 0.5), 1) * divisor
        if channels < 0.95 * value:
            channels += divisor
    return max(channels, divisor)


def scale_channels(channels: int, width: float) -> int:
    """Return a row's output channels under a width multiplier.

    A width of 1 leaves the table's figure as it is (D2Go's SCALE_FACTOR).
    """
    return channels if width == 1 else make_divisible(int(channels * width))


def trunk_channels(arch: str | Mapping | Arch, width: float) -> int:
    """Return the channels of an architecture's last stage."""
    return trunk_features(arch, width)[-1][1]


def trunk_features(
    arch: str | Mapping[str, Any] | Arch, width: float = 1.0
) -> list[tuple[int, int]]:
    """Return stride and channels of the output of each stage of a trunk."""
    features, stride = [], 1
    for rows in get_arch(arch).trunk:
        stride *= math.prod(row.stride for row in rows)
        features.append((stride, scale_channels(rows[-1].channels, width)))
    return features


def _arch_from_file(path: str) -> Arch:
    """Read rows from a JSON file, which may come from a stranger."""
    try:
        with open(path, 'rb') as file:
            content = file.read(MAX_FILE + 1)
        if len(content) > MAX_FILE:
            raise ValueError(f'it has more than {MAX_FILE} bytes')
        data = json.loads(content)
        if not isinstance(data, Mapping):
            raise ValueError(f'it holds a {type(data).__name__}, no object')
        return _arch_from_dict(data)
    except (OSError, ValueError, RecursionError) as error:
        reason = textwrap.shorten(str(error), 400, placeholder=' ...')
        raise ValueError(
            f'arch={path!r} is no readable JSON file of rows: {reason}; give '
            'the path of one, from where the command is run, with the keys '
            f'{list(Arch._fields)}'
        ) from error


def _arch_from_dict(data: Mapping[str, Any]) -> Arch:
    unknown = set(data) - set(Arch._fields)
    missing = {'trunk'} - set(data)
    if unknown or missing:
        raise ValueError(
            f'arch={dict(data)!r}: unknown keys {sorted(unknown, key=str)}, '
            f'missing keys {sorted(missing)}; allowed are '
            f"{list(Arch._fields)}, of which 'trunk' is required"
        )
    trunk = data['trunk']
    if not _is_list(trunk) or not trunk:
        raise ValueError(
            f'arch trunk={trunk!r} must be a non-empty list of stages, each '
            'a list of rows'
        )
    stages = tuple(
        _rows(stage, f'trunk[{i}]') for i, stage in enumerate(trunk)
    )
    heads = {part: _rows(data[part], part) for part in PARTS if data.get(part)}
    parts = *stages, *heads.values()
    blocks = sum(row.repeats for rows in parts for row in rows)
    if blocks > MAX_BLOCKS:
        raise ValueError(
            f'arch has {blocks} blocks, the sum of all repeats; at most '
            f'{MAX_BLOCKS} are allowed'
        )
    return Arch(trunk=stages, **heads)


def _rows(rows: Any, place: str) -> Rows:
    if not _is_list(rows) or not rows:
        raise ValueError(
            f'arch {place}={rows!r} must be a non-empty list of rows with '
            f'the fields {list(Row._fields)}'
        )
    return tuple(_row(row, f'{place}[{i}]') for i, row in enumerate(rows))


def _row(row: Any, place: str) -> Row:
    try:
        row = Row(**row) if isinstance(row, Mapping) else Row(*row)
    except TypeError as error:
        raise ValueError(
            f'arch {place}={row!r} is not a row ({error}); its fields are '
            f'{list(Row._fields)}'
        ) from None
    sizes = row[1:3] + row[4:]
    good = (
        row.op in OPS
        and all(_is_int(n) and n >= 1 for n in sizes)
        and row.kernel % 2 == 1
        and _is_int(row.stride)
        and row.stride not in (-1, 0)
        and (row.stride > 0 or not row.op.startswith('conv'))
    )
    if not good:
        raise ValueError(
            f'arch {place}={tuple(row)!r} is out of range: op is one of '
            f'{OPS}; kernel is odd; kernel, channels, repeats and expand are '
            "integers >= 1; stride is >= 1, or <= -2 to upsample (not 'conv')"
        )
    return row


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
