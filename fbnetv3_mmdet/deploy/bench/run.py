"""A whole benchmark: files, measurement, tables and pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...files import complete_file
from . import report
from .jobs import Row, Workshop
from .measure import Measured, measure

STEP_SHARE = 4  # a training step takes seconds: fewer of them


@dataclass(frozen=True)
class Plan:
    """What a benchmark compares, and how often.

    Attributes:
        models: Configs, each with a checkpoint, or None for random weights.
        digits: Config of DigitScenes, which images are taken from.
        out_dir: Where everything is written.
        threads: Numbers of threads to measure with.
        rounds: How many turns each row has.
        runs: How often a row runs in a turn.
        skip: Of ``OPTIONAL``, what to leave out.
        precision: AP by model and engine, where it is known.
    """

    models: Sequence[tuple[str, str | None]]
    digits: str
    out_dir: Path
    threads: Sequence[int] = (1, 2)
    rounds: int = 10
    runs: int = 5
    skip: Sequence[str] = ()
    precision: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    OPTIONAL = 'compile', 'peers', 'training'


def benchmark(plan: Plan) -> str:
    """Write ``benchmark.md``, ``.json`` and pictures; return the tables."""
    rows, trained = _rows(plan)
    texts, records = [f'# Benchmark\n\n{report.machine()}.'], {}
    for threads in plan.threads:
        title = f'{threads} thread' + 's' * (threads > 1)
        log = plan.out_dir / 'processes.log'
        measured = report.split_networks(
            measure(rows, threads, plan.rounds, plan.runs, log)
        )
        rounds = -(-plan.rounds // STEP_SHARE)
        steps = measure(trained, threads, rounds, 1, log)
        texts += [f'## {title}', report.stage_table(measured)]
        texts += [report.ratio_table(measured)]
        texts += [report.training_table(steps)] if steps else []
        records[title] = report.record([*measured, *steps])
        _draw(plan, measured, title, threads)
        text = '\n\n'.join(texts) + '\n'
        with complete_file(plan.out_dir / 'benchmark.md') as path:
            path.write_text(text)
        with complete_file(plan.out_dir / 'benchmark.json') as path:
            path.write_text(json.dumps(records, indent=1))
    return text


def _draw(plan: Plan, measured: Measured, title: str, threads: int) -> None:
    with complete_file(plan.out_dir / f'stages-{threads}.png') as path:
        report.plot_stages(measured, title).savefig(path)
    if plan.precision:
        with complete_file(plan.out_dir / f'ap-{threads}.png') as path:
            report.plot_tradeoff(measured, plan.precision).savefig(path)


def _rows(plan: Plan) -> tuple[list[Row], list[Row]]:
    """Return what to measure of inference and of training."""
    workshop = Workshop(plan.out_dir / 'files', plan.digits)
    rows = []
    for config, checkpoint in plan.models:
        compiled = 'compile' not in plan.skip
        rows += workshop.detector(config, checkpoint, compiled)
    if 'peers' not in plan.skip:
        rows += workshop.peers()
    if 'training' in plan.skip:
        return rows, []
    return rows, list(workshop.training(plan.models[0][0]))
