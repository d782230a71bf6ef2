"""Latency of detectors, and the benchmark: stages, processes, tables."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image
from random_detector import CONFIG, ROOT, random_weights
from runtime_model import save_colors

import fbnetv3_mmdet  # noqa: F401  MMDetection needs its mmcv.ops

sys.path.insert(0, str(ROOT))
# isort: split
from benchmarks import gpu, report, rows, runtime, worker  # noqa: E402
from benchmarks.__main__ import main as benchmark  # noqa: E402
from benchmarks.processes import Figures, measure  # noqa: E402
from benchmarks.rows import Row  # noqa: E402
from fbnetv3_mmdet.deploy.latency import (  # noqa: E402
    Latency,
    in_turns,
    latency,
    prepare,
    quartiles,
)

pytestmark = pytest.mark.same_on_upstream
DEFAULT = ROOT / 'configs/fbnetv3' / (
    'faster-rcnn_fbnetv3-a-dsmask-c4_8xb4-540k_coco.py'
)  # fmt: skip
tool = runpy.run_path(str(ROOT / 'tools/benchmark.py'))['main']


def test_quartiles_are_those_by_hand():
    assert quartiles([4, 1, 3, 2, 5]) == Latency(3, lower=2, upper=4)
    assert quartiles([7]) == Latency(7, 7, 7)


def test_runs_take_turns():
    calls = []
    runs = [lambda: calls.append('a'), lambda: calls.append('b')]
    found = in_turns(runs, rounds=2, times=3)
    # after three of each to warm up
    assert ''.join(calls) == 'aaabbb' + 2 * 'aaabbb'
    assert [one.lower <= one.median <= one.upper for one in found] == 2 * [
        True
    ]


@pytest.fixture
def colors(tmp_path):
    """An exported file made by hand."""
    path = tmp_path / 'colors.onnx'
    save_colors(path)
    return path


@pytest.mark.parametrize('backend', ['onnxruntime', 'openvino'])
def test_an_exported_file_has_a_latency(backend, colors):
    found = latency(colors, (60, 80), backend, rounds=1, times=2)
    assert 0 < found.lower <= found.median <= found.upper


@pytest.mark.parametrize('backend', ['torch', 'onnxruntime'])
def test_a_config_has_a_latency_before_it_is_trained(backend):
    cfg = Config.fromfile(CONFIG)
    before = cfg.pretty_text
    threads = torch.get_num_threads()
    assert latency(cfg, (64, 96), backend, rounds=1, times=1).median > 0
    assert cfg.pretty_text == before
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize('number', ['rounds', 'times'])
def test_something_must_be_measured(number):
    with pytest.raises(ValueError, match=f'{number}=0 must be at least 1'):
        in_turns([], **{number: 0})


def test_sizes_that_a_file_does_not_have_are_refused(tmp_path):
    path = tmp_path / 'fixed.onnx'
    save_colors(path, size=[30, 40])
    prepare(path)()
    prepare(path, (30, 40))()
    with pytest.raises(ValueError, match=r'not the size of the input .*30, 4'):
        prepare(path, (40, 30))


def test_the_tool_measures_each_model_in_each_backend(colors, capsys):
    backends = ['--backend', 'onnxruntime', 'openvino']
    tool([str(colors), *backends, '--rounds', '1', '--times', '1'])
    lines = capsys.readouterr().out.splitlines()
    starts = [f'{colors}, {backend}: ' for backend in backends[1:]]
    assert len(lines) == 2
    assert all(map(str.startswith, lines, starts))


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (['nosuch.py'], "config='nosuch.py'"),
        (['nosuch.onnx'], 'nosuch.onnx is no exported FBNetV3 detector'),
        (['a.onnx', '--backend', 'torch'], "'torch' cannot run the exported"),
        (['a.onnx', '--threads', '257'], 'threads=257 must be 1 to 256'),
        (['a.onnx', '--size', '0', '9'], '--size 0 9 is no size'),
    ],
)
def test_mistakes_are_told_in_one_line(args, message, capsys):
    with pytest.raises(SystemExit) as status:
        tool(args)
    assert status.value.code == 2
    error = capsys.readouterr().err
    assert message in error and error.count('\n') == 1


def test_time_belongs_to_the_innermost_stage(monkeypatch):
    ticks = iter([0.0, 1.0, 3.0, 6.0, 10.0, 15.0])  # seconds
    monkeypatch.setattr(worker.time, 'perf_counter', lambda: next(ticks))

    class Model:
        def outer(self):
            return self.inner() + 1

        def inner(self):
            return 1

    model, clock, results = Model(), worker.StageClock(), []
    clock.watch(model, 'outer', 'RoI head')
    clock.watch(model, 'inner', 'postprocess')
    laps = clock.timed(lambda: results.append(model.outer()))()
    # other 0-1 and 10-15, RoI head 1-3 and 6-10, postprocess 3-6
    assert laps == {'other': 6000, 'RoI head': 6000, 'postprocess': 3000}
    assert results == [2]


def test_a_row_that_fails_stops_no_other(tmp_path, colors):
    image = tmp_path / 'image.npy'
    worker_job = dict(engine='exported', backend='onnxruntime')
    worker_job |= dict(image=str(image))
    np.save(image, np.zeros((60, 80, 3), np.uint8))
    good = Row('good', 'ONNX Runtime', worker_job | dict(model=str(colors)))
    lost = str(tmp_path / 'nosuch.onnx')
    bad = Row('bad', 'ONNX Runtime', worker_job | dict(model=lost))
    log = tmp_path / 'log'
    found = measure([good, bad, good], 1, rounds=2, times=3, log=log)
    assert [row for row, _ in found] == [good, bad, good]
    for _, figures in (found[0], found[2]):
        assert 0 < figures.ms.lower <= figures.ms.median <= figures.ms.upper
        stages = ['preprocess', 'network', 'postprocess', 'other']
        assert list(figures.stages) == stages
        # numpy and ONNX Runtime, and no PyTorch
        assert 20 < figures.peak < 150
    assert found[1][1] is None
    assert 'nosuch.onnx' in log.read_text()


def cells(table):
    return [
        [cell.strip() for cell in line.strip('|').split('|')]
        for line in table.splitlines()[2:]
    ]


def test_tables_hold_what_was_measured(tmp_path):
    file = tmp_path / 'a.onnx'
    file.write_bytes(bytes(1_540_000))
    stages = dict(network=11.0, other=1.0)
    figures = Figures(Latency(12.0, 11.0, 14.0), stages, 100.4)
    measured = [
        (Row('A', 'OpenVINO', {}, 'int8', file, 65.24), figures),
        (Row('B', 'torch.compile', {}), None),
    ]
    first, second = cells(report.inference_table(measured))
    assert first == ['A', 'OpenVINO', 'int8', '12.0', '11.0 to 14.0',
                     'network 11.0, other 1.0', '100', '1.5',
                     '65.2']  # fmt: skip
    assert second[:4] == ['B', 'torch.compile', 'float', 'failed']
    stages = dict(data=400.0, backward=3600.0)
    steps = Figures(Latency(4000.0, 3000.0, 5000.0), stages, 9.0)
    row = Row('A', 'our hooks', dict(batch_size=8))
    (line,) = cells(report.training_table([(row, steps)]))
    assert line[2:4] == ['2.00', 'data 10.0%, backward 90.0%']


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (['nosuch.py'], "config='nosuch.py'"),
        ([f'{DEFAULT}=nosuch.pth'], "checkpoint='nosuch.pth' is no file"),
        (['--threads', '0'], '--threads=0 must be at least 1'),
        (['--threads', '4096'], '--threads=4096 must be at least 1 and at'),
    ],
)
def test_mistakes_in_a_benchmark(args, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as status:
        benchmark([*args, '--out-dir', str(tmp_path / 'out')])
    assert status.value.code == 2
    error = capsys.readouterr().err
    assert message in error and error.count('\n') == 1
    assert not (tmp_path / 'out').exists()


@pytest.mark.slow
def test_a_short_benchmark_writes_all(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, 'NUM_VAL', 3)
    checkpoint = tmp_path / 'a.pth'
    meta = dict(dataset_meta=dict(classes=tuple('0123456789')))
    torch.save(dict(state_dict=random_weights(), meta=meta), checkpoint)
    short = ['--threads', '1', '--rounds', '1', '--runs', '1']
    skip = ['--skip', 'compile', 'peers', 'training']
    files = [f'{CONFIG}={checkpoint}', '--out-dir', str(tmp_path)]
    benchmark([*files, *short, *skip])
    text = (tmp_path / 'benchmark.json').read_text()
    records = json.loads(text)['1 thread']
    assert [(row['engine'], row['precision']) for row in records] == [
        ('MMDetection', 'float'),
        ('ONNX Runtime', 'float'),
        ('OpenVINO', 'float'),
        ('ONNX Runtime', 'int8'),
        ('OpenVINO', 'int8'),
    ]
    assert all(row['figures']['ms']['median'] > 0 for row in records)
    assert [row['ap'] is None for row in records] == [True] + 4 * [False]
    stages = [list(row['figures']['stages']) for row in records]
    assert stages[0] == ['preprocess', 'backbone', 'RPN', 'proposals',
                         'RoI head', 'postprocess', 'other']  # fmt: skip
    assert stages[1] == ['preprocess', 'network', 'postprocess', 'other']
    assert Path(CONFIG).stem in (tmp_path / 'benchmark.md').read_text()
    for name in ('stages', 'ap'):
        assert (tmp_path / f'{name}-1.png').stat().st_size > 10_000


def test_runtime_has_its_rows(colors, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(runtime, 'ROUNDS', 1)
    monkeypatch.setattr(runtime, 'CALLS', 4)
    monkeypatch.setattr(runtime, 'PHOTO', (400, 300))
    folder = tmp_path / 'images'
    folder.mkdir()
    for number in range(2):
        Image.new('RGB', (64, 48)).save(folder / f'{number}.png')
    runtime.main([str(colors), str(folder), '--num-sizes', '3'])
    rows = [
        [cell.strip() for cell in line.strip('|').split('|')]
        for line in capsys.readouterr().out.splitlines()[2:]
    ]
    engines = [row[1] for row in rows]
    assert engines == ['onnxruntime'] * 5 + ['openvino'] * 5 + [''] * 2
    assert [row[0] for row in rows[2:5]] == [
        '2 images with pictures, one after the other',
        '2 images with pictures, side by side',
        '3 sizes',
    ]
    assert rows[4][2].endswith(' MiB')


@pytest.mark.slow
@pytest.mark.parametrize(
    'options', [['--any-device'], pytest.param([], marks=pytest.mark.gpu)]
)
def test_gpu_benchmark_has_a_table(options, capsys):
    gpu.main(['--batch-size', '1', '--steps', '1', *options])
    lines = capsys.readouterr().out.splitlines()
    rows = [line for line in lines if line.startswith('|')][2:]
    assert len(rows) == (2 if torch.cuda.is_available() else 1)
    for row in rows:
        *_, batch, _, step, share = row.strip('| ').split('|')
        assert int(batch) == 1 and float(step) > 0
        assert 0 < int(share.strip('% ')) < 100


@pytest.mark.skipif(torch.cuda.is_available(), reason='needs a CPU alone')
def test_gpu_benchmark_needs_a_gpu(capsys):
    with pytest.raises(SystemExit) as stop:
        gpu.main([])
    assert stop.value.code == 2
    assert 'needs a CUDA device' in capsys.readouterr().err
