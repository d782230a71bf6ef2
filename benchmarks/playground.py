"""Measure the Model Playground as a browser sees it.

A server with runs in a temporary folder is visited by Chromium: how long until
the form is there and checked, until a training shows its curve, and until each
of many tabs does; how long a log of 540,000 records takes, and how much memory
the server.

Run it from the root of the checkout; taskset leaves it one core for all:
    python -m benchmarks.playground
    taskset -c 0 python -m benchmarks.playground
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright
from terminaltables import GithubFlavoredMarkdownTable

from .processes import ROOT

RECORDS = 540_000
TABS = 11
CHECKS = 7
WAIT = 300_000  # ms
# Numbers of losses in the first chart of a page.
_POINTS = """() => {
    const chart = document.querySelector('.nicegui-echart');
    const drawn = chart && getElement(Number(chart.id.slice(1))).chart;
    return drawn?.getOption().series[0]?.data.length ?? 0;
}"""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    chromium = _parse(argv).chromium
    table = [['what', 'seconds', 'memory of the server, MiB']]
    with (
        tempfile.TemporaryDirectory() as root,
        sync_playwright() as playwright,
        _serving(Path(root)) as (server, address),
    ):
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=['--no-sandbox', '--disable-dev-shm-usage'],
        )
        for what, seconds in measure(browser, address):
            memory = _memory(server.pid)
            table.append([what, f'{seconds:.2f}', f'{memory:.0f}'])
            print(f'  {what}: {seconds:.2f}', file=sys.stderr, flush=True)
        browser.close()
    print(GithubFlavoredMarkdownTable(table).table)


def measure(browser: Browser, address: str) -> Iterator[tuple[str, float]]:
    """Yield what was measured, and its seconds.

    Args:
        browser: Chromium.
        address: That the server printed, with the key.
    """
    home = address.partition('/?')[0]
    page = browser.new_context().new_page()
    page.set_default_timeout(WAIT)
    begin = time.perf_counter()
    page.goto(address)
    page.wait_for_selector('text=pooler resolution')
    yield 'form visible, the first visit', time.perf_counter() - begin
    _wait_for(page, 'aside', 'fit')
    yield 'form checked, with PyTorch loaded', time.perf_counter() - begin
    begin = time.perf_counter()
    page.reload()
    page.wait_for_selector('text=pooler resolution')
    yield 'form visible, a later visit', time.perf_counter() - begin
    _fill_in(page)
    yield 'changed form checked, median', _check(page)
    begin = time.perf_counter()
    page.get_by_label('name of the run').fill('measured')
    page.get_by_role('button', name='Start training').click()
    page.wait_for_function(f'({_POINTS})() >= 2')
    yield 'two points of the curve, from Start', time.perf_counter() - begin
    times = []
    for _ in range(TABS):
        tab = page.context.new_page()
        tab.set_default_timeout(WAIT)
        begin = time.perf_counter()
        tab.goto(f'{home}/run/measured')
        tab.wait_for_function(f'({_POINTS})() >= 2')
        times.append(time.perf_counter() - begin)
    yield f'slowest of {TABS} tabs on a run that trains', max(times)
    page.get_by_role('button', name='Stop and save').click()
    _wait_for(page, '.card', 'stopped')
    begin = time.perf_counter()
    page.goto(f'{home}/run/by-hand-watched-long')
    page.wait_for_function(f'({_POINTS})() >= 2')
    yield f'run of {RECORDS:,} records', time.perf_counter() - begin


def _check(page: Page) -> float:
    """Return the median seconds from a changed field to its verdict."""
    times = []
    for n in range(CHECKS):
        begin = time.perf_counter()
        page.get_by_label('pooler resolution').fill('61'[n % 2])
        _wait_for(page, 'aside', ('Everything fits', 'not fit')[n % 2])
        times.append(time.perf_counter() - begin)
    return statistics.median(times[1:])  # the first changes nothing


def _fill_in(page: Page) -> None:
    """Have the form train from random weights; none are at hand."""
    page.get_by_role('combobox', name='initial weights').click()
    page.get_by_role('option', name='none: random weights').click()
    page.get_by_label('stages to freeze', exact=True).fill('0')
    page.get_by_label('iterations', exact=True).fill('100')
    _wait_for(page, 'aside', 'Everything fits')


def _wait_for(page: Page, element: str, words: str) -> None:
    page.wait_for_function(
        f"document.querySelector('{element}')?.innerText.includes('{words}')"
    )


@contextmanager
def _serving(root: Path) -> Iterator[tuple[subprocess.Popen, str]]:
    """Yield a server as a user starts it, and its address."""
    log = root / 'watched/long/20260101_000000/vis_data/scalars.json'
    log.parent.mkdir(parents=True)
    with open(log, 'w') as file:
        for step in range(1, RECORDS + 1):
            record = dict(loss=100 / step, time=0.1, step=step, iter=step)
            file.write(json.dumps(record) + '\n')
    command = (
        *(sys.executable, '-m', 'fbnetv3_mmdet', 'playground'),
        *('--runs', str(root / 'runs'), '--watch', str(root / 'watched')),
    )
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        yield process, process.stdout.readline().strip()
        process.terminate()


def _memory(pid: int) -> float:
    """Return the memory that a process has, in MiB."""
    status = Path(f'/proc/{pid}/status').read_text()
    (line,) = [x for x in status.splitlines() if x.startswith('VmRSS')]
    return int(line.split()[1]) / 1024


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        '--chromium',
        default='/usr/bin/chromium',
        help='its program (default: %(default)s)',
    )
    return parser.parse_args(argv)


if __name__ == '__main__':
    main()
