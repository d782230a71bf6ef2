"""Measure what the runtime does around the network, in one run.

It needs no PyTorch: how many images a second callers side by side get, how
long a folder takes with pictures of what is found, how long a large
photograph takes to read, and how much memory many sizes of images take.

Run it from the root of the checkout:
    python -m benchmarks.runtime FILE.onnx FOLDER
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from fbnetv3_runtime import BACKENDS, SUFFIXES, Detector, draw, read_image
from fbnetv3_runtime.command import main as command
from fbnetv3_runtime.engine import count_cores
from fbnetv3_runtime.writers import save_picture

ROUNDS = 5
CALLS = 200  # in which throughput is measured
PHOTO = 4000, 3000  # px, of a phone


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    args = _parse(argv)
    files = sorted(
        file
        for file in Path(args.folder).rglob('*')
        if file.suffix.lower() in SUFFIXES
    )[: args.num_images]
    print('| what | engine | figure |\n| --- | --- | --- |')
    for backend in BACKENDS:
        for what, figure in _measure(args.model, backend, files):
            print(f'| {what} | {backend} | {figure} |', flush=True)
        memory = _memory(args.model, backend, args.num_sizes)
        print(f'| {args.num_sizes} sizes | {backend} | {memory} |', flush=True)
    for what, figure in _photograph(args.model):
        print(f'| {what} | | {figure} |')


def _measure(
    model: str, backend: str, files: Sequence[Path]
) -> Iterator[tuple[str, str]]:
    """Yield rows of one engine."""
    one = Detector(model, backend, threads=1, parallel=1)
    shared = Detector(model, backend, threads=1)
    pictures = [read_image(file) for file in files[:20]]
    cores = count_cores()
    single, several = _in_turns(
        lambda: _throughput(one, pictures, 1),
        lambda: _throughput(shared, pictures, cores),
    )
    yield 'one caller, one thread', f'{single:.1f} images/s'
    yield (
        f'{cores} callers, one thread each',
        f'{several:.1f} images/s, {several / single:.2f} x',
    )
    single, several = _in_turns(
        lambda: _time(lambda: _one_by_one(model, backend, files)),
        lambda: _time(lambda: _folder(model, backend, files)),
    )
    what = f'{len(files)} images with pictures'
    yield f'{what}, one after the other', f'{single:.2f} s'
    yield f'{what}, side by side', f'{several:.2f} s, {single / several:.2f} x'


def _throughput(
    detector: Detector, pictures: Sequence[Image.Image], callers: int
) -> float:
    """Return images a second."""
    calls = [pictures[i % len(pictures)] for i in range(CALLS)]
    with ThreadPoolExecutor(callers) as pool:
        list(pool.map(detector.predict, calls[: 2 * callers]))
        return CALLS / _time(lambda: list(pool.map(detector.predict, calls)))


def _one_by_one(model: str, backend: str, files: Iterable[Path]) -> None:
    detector = Detector(model, backend, score_thr=0.3)
    with tempfile.TemporaryDirectory() as folder:
        for file in files:
            picture = read_image(file)
            drawn = draw(picture, detector.predict(picture))
            save_picture(Path(folder, f'{file.stem}.jpg'), drawn)


def _folder(model: str, backend: str, files: Iterable[Path]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        options = ['--backend', backend, '--out-dir', folder]
        command([model, *map(str, files), *options])


def _photograph(model: str) -> Iterator[tuple[str, str]]:
    """Yield rows of reading and resizing a large photograph."""
    detector = Detector(model, threads=1)
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (75, 100, 3), np.uint8))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, 'photo.jpg')
        noise.resize(PHOTO, Image.Resampling.BICUBIC).save(file, quality=92)

        def whole() -> None:
            picture = read_image(file)
            fit = detector.fit(picture.size)
            np.array(picture.resize(fit, Image.Resampling.BILINEAR))

        def small() -> None:
            detector.resize(*detector.read(file)[:2])

        before, now = _in_turns(lambda: _time(whole), lambda: _time(small))
    what = f'JPEG of {PHOTO[0]} x {PHOTO[1]}, to the network'
    yield f'{what}, all pixels', f'{1000 * before:.1f} ms'
    yield f'{what}, as it is read', f'{1000 * now:.1f} ms'


def _memory(model: str, backend: str, number: int) -> str:
    """Return MiB of this process before and after images of many sizes."""
    detector = Detector(model, backend, threads=1, parallel=1)
    rng = np.random.default_rng(0)
    figures = []
    for index in range(number):
        height, width = rng.integers(100, 320, 2)
        detector._run(np.full((1, height, width, 3), index % 256, np.uint8))
        if index in (0, number // 4, number // 2, number - 1):
            figures.append(f'{_resident_memory():.0f}')
    return f'{" -> ".join(figures)} MiB'


def _resident_memory() -> float:
    """Return MiB that this process holds, as Linux tells."""
    pages = int(Path('/proc/self/statm').read_text().split()[1])
    return pages * os.sysconf('SC_PAGE_SIZE') / 2**20


def _in_turns(*runs: Callable[[], float]) -> list[float]:
    """Return medians of what is run in turns."""
    rounds = [[run() for run in runs] for _ in range(ROUNDS)]
    return [median(figures) for figures in zip(*rounds, strict=True)]


def _time(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks.runtime',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add('model', help='file that tools/export.py wrote')
    add('folder', help='images to detect in')
    add('--num-images', type=int, default=87, help='of them (default: 87)')
    add('--num-sizes', type=int, default=2000, help='(default: 2000)')
    return parser.parse_args(argv)


if __name__ == '__main__':
    main()
