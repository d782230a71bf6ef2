"""Imports flow one way: from a higher floor of the package to a lower one."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / 'fbnetv3_mmdet'
FLOORS = (  # the ground first; parts of one floor do not know each other
    {'archs', 'ema', 'memory', 'norms', 'mmcv_ext'},
    {'layers', 'ops', 'annotations'},
    {'models', 'datasets', 'checkpoints'},
    {'settings', 'faults'},
    {'hooks', 'cli', 'inference', 'logs', 'visualization'},
    {'__init__'},
    {'deploy', 'doctor'},  # above all: only their tools import them
)
HEIGHT = {part: i for i, floor in enumerate(FLOORS) for part in floor}
MODULES = sorted(PACKAGE.rglob('*.py'))
OUTSIDE = [
    path
    for folder in ('tools', 'configs', 'tests')
    for path in sorted((ROOT / folder).rglob('*.py'))
]


def imported(path):
    """Yield the absolute dotted name of everything that a file imports."""
    package = path.relative_to(ROOT).with_suffix('').parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1]
            base = [*above, node.module] if node.level else [node.module]
            for alias in node.names:
                yield '.'.join(filter(None, [*base, alias.name]))


def own_parts(path):
    """Yield the parts of this package that a file imports."""
    for name in imported(path):
        root, *rest = name.split('.')
        if root == PACKAGE.name:
            yield rest[0] if rest and rest[0] in HEIGHT else '__init__'


def part_of(path):
    return path.relative_to(PACKAGE).with_suffix('').parts[0]


def relative(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize('path', MODULES, ids=relative)
def test_modules_import_lower_floors_only(path):
    part = part_of(path)
    assert part in HEIGHT, f'{part} has no floor yet: add it to FLOORS'
    for other in own_parts(path):
        assert other == part or HEIGHT[other] < HEIGHT[part]


@pytest.mark.parametrize(
    'path', sorted((PACKAGE / 'models').glob('[!_]*.py')), ids=relative
)
def test_models_do_not_import_each_other(path):
    assert 'models' not in own_parts(path)


@pytest.mark.parametrize(
    'path', [p for p in MODULES if part_of(p) == 'checkpoints'], ids=relative
)
def test_checkpoints_know_no_detector(path):
    assert 'mmdet' not in {name.split('.')[0] for name in imported(path)}


@pytest.mark.parametrize('path', [*MODULES, *OUTSIDE], ids=relative)
def test_nobody_imports_configs_tools_or_tests(path):
    roots = {name.split('.')[0] for name in imported(path)}
    assert not roots & {'configs', 'tools', 'tests'}
