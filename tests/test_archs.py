"""The table against D2Go's, and architectures given as data."""

import json

import pytest

from fbnetv3_mmdet.archs import ARCHS, Arch, Row, get_arch, head_rows

pytestmark = pytest.mark.same_on_upstream

TINY = dict(
    trunk=[
        [dict(op='conv', kernel=3, channels=8, stride=2, repeats=1)],
        [dict(op='ir_se', kernel=5, channels=16, stride=2, repeats=2)],
    ],
    rpn=[dict(op='ir', kernel=3, channels=16, stride=1, repeats=1, expand=3)],
    bbox=[('ir', 3, 24, 2, 1, 4)],
)


def test_rows_equal_d2go(shared):
    table = {}
    lines = (shared / 'd2go/archs.tsv').read_text().splitlines()[1:]
    for line in lines:
        arch, part, stage, op, channels, stride, repeats, expand, se = (
            line.split('\t')
        )
        kind, kernel = op.removesuffix('_se').split('_k')
        row = Row(
            f'{kind}_se' if se == 'se' else kind,
            int(kernel),
            int(channels),
            int(stride),
            int(repeats),
            1 if expand == '-' else int(expand),
        )
        stages = table.setdefault(arch, {}).setdefault(part, {})
        stages.setdefault(int(stage), []).append(row)
    assert table.keys() == {n for n in ARCHS if not n.startswith('fbnetv3')}
    for name, parts in table.items():
        trunk = parts.pop('trunk')
        heads = {part: tuple(stages[0]) for part, stages in parts.items()}
        assert ARCHS[name] == Arch(
            tuple(tuple(trunk[i]) for i in sorted(trunk)), **heads
        )


def test_get_arch_takes_a_name_and_a_dict():
    assert get_arch('FBNetV3_A') is ARCHS['FBNetV3_A']
    arch = get_arch(TINY)
    assert arch.trunk[1] == (Row('ir_se', 5, 16, 2, 2, 1),)
    assert arch.bbox == (Row('ir', 3, 24, 2, 1, 4),)
    assert get_arch(arch) is arch


def test_unknown_name_lists_the_choices():
    with pytest.raises(ValueError, match="'FBNetV3_Z' .*FBNetV3_A_dsmask"):
        get_arch('FBNetV3_Z')


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(trunk=[]), 'trunk=.* non-empty list of stages'),
        (dict(trunk=[[]]), r'trunk\[0\]=.* non-empty list of rows'),
        (dict(rpm=[]), "unknown keys \\['rpm'\\]"),
        (dict(rpn=[dict(op='ir', kernel=3)]), r'rpn\[0\]=.*is not a row'),
        (dict(rpn=[dict(opp='ir')]), r"rpn\[0\]=.*'opp'"),
        (dict(rpn=[3]), r'rpn\[0\]=3 is not a row'),
        (dict(rpn=[('ib', 3, 8, 1, 1, 1)]), 'op is one of'),
        (dict(rpn=[('ir', 4, 8, 1, 1, 1)]), 'kernel is odd'),
        (dict(rpn=[('ir', 3, 8, 0, 1, 1)]), 'stride is >= 1'),
        (dict(rpn=[('conv', 3, 8, -2, 1, 1)]), "not 'conv'"),
        (dict(rpn=[('ir', 3, 8, 1, 0, 1)]), 'integers >= 1'),
        (dict(rpn=[('ir', 3, 8.5, 1, 1, 1)]), 'integers >= 1'),
    ],
)
def test_bad_rows_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        get_arch({**TINY, **change})


def test_blocks_are_limited():
    # a search's typo or a hostile file would build them for ever
    with pytest.raises(ValueError, match='arch has 1000000004 blocks.* 1000'):
        get_arch({**TINY, 'rpn': [('ir', 3, 8, 1, 1_000_000_000, 1)]})


def test_missing_trunk_is_named():
    with pytest.raises(ValueError, match="missing keys .*'trunk'"):
        get_arch(dict(rpn=TINY['rpn']))


def test_head_without_rows_lists_who_has_them():
    with pytest.raises(ValueError, match="'FBNetV3_B' has no 'mask' rows"):
        head_rows('FBNetV3_B', 'mask')


def test_rows_in_a_file_are_those_of_a_dict(tmp_path):
    rows = dict(trunk=[[['conv', 3, 16, 2, 1]]], rpn=[['ir', 3, 16, 1, 1]])
    path = tmp_path / 'mine.json'
    path.write_text(json.dumps(rows))
    assert get_arch(str(path)) == get_arch(rows)


@pytest.mark.parametrize(
    'content',
    [
        *('', '[]', '7', '{"trunk": []', '[' * 100_000, '{"trunk": [[1]]}'),
        '{"trunk": []}' + ' ' * (1 << 20),
        json.dumps({'trunk': [], 'x' * 100_000: 0}),
        json.dumps(dict(trunk=[[[0] * 100_000]])),
    ],
    ids=range(9),
)
def test_a_file_without_rows_is_named(content, tmp_path):
    path = tmp_path / 'mine.json'
    path.write_text(content)
    with pytest.raises(
        ValueError, match='mine.json.* is no readable'
    ) as caught:
        get_arch(str(path))
    message = str(caught.value)
    assert '\n' not in message and len(message) < 1000


def test_a_missing_file_is_named():
    with pytest.raises(ValueError, match="arch='none.json' is no readable"):
        get_arch('none.json')
