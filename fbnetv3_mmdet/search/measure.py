"""Latency of detectors, measured here or by a command of the user's."""

from __future__ import annotations

import re
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from mmengine.config import Config

from ..deploy.latency import export_random, in_turns, prepare
from ..errors import SettingError
from .options import Options

ROUNDS = 20  # of measurements in turns
_NUMBER = r'\d+(?:\.\d+)?(?:[eE][-+]?\d+)?'


class Stopwatch:
    """Measures the latency of detectors, all against the baseline's.

    What else the machine does slows both down alike: a detector's
    milliseconds are its share of the baseline's, times the baseline's. Lower
    quartiles are compared; beside other work the medians of the same detector
    differ twofold at times.

    Args:
        baseline: Config of the detector that all are compared with.
        options: Engine, threads or the command.
        milliseconds: Of the baseline, None where it is not yet measured.
    """

    def __init__(
        self,
        baseline: Config,
        options: Options,
        milliseconds: float | None = None,
    ) -> None:
        self._options, self.milliseconds = options, milliseconds
        self._baseline = None if options.command else self._prepare(baseline)

    def measure(self, configs: Sequence[Config]) -> list[float]:
        """Return the milliseconds of some detectors.

        Raises:
            SettingError: The user's command fails, or prints no number.
        """
        if self._options.command:
            return [self._ask(config) for config in configs]
        runs = [self._baseline, *map(self._prepare, configs)]
        base, *found = (time.lower for time in in_turns(runs, ROUNDS))
        self.milliseconds = self.milliseconds or base
        return [round(self.milliseconds * time / base, 3) for time in found]

    def _prepare(self, config: Config) -> Callable[[], object]:
        engine, threads = self._options.engine, self._options.threads
        return prepare(config, None, engine, threads)

    def _ask(self, config: Config) -> float:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, 'candidate.onnx')
            export_random(config, path)
            return ask(self._options.command or '', path)


def ask(command: str, path: Path) -> float:
    """Return the milliseconds that a user's command prints for a file.

    Raises:
        SettingError: The command fails, or prints no number.
    """
    try:
        done = subprocess.run(
            [*shlex.split(command), str(path)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
    except (OSError, ValueError) as error:
        raise SettingError(
            f'search.command={command!r} cannot be run: {error}; give a '
            'program that takes the path of an ONNX file'
        ) from error
    numbers = re.findall(_NUMBER, done.stdout)
    if done.returncode or not numbers or float(numbers[-1]) <= 0:
        said = ' '.join((done.stdout + done.stderr).split())[-300:]
        raise SettingError(
            f'search.command={command!r} ended with status '
            f'{done.returncode} and printed {said!r}; its last number must '
            'be the milliseconds of the file that it is given'
        )
    return float(numbers[-1])
