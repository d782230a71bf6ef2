"""How a run ends that cannot go on."""

import sys
from typing import NoReturn

from mmengine.runner import Runner


def stop(runner: Runner, message: str, status: int = 1) -> NoReturn:
    """End this process with a line in the log and on stderr.

    Args:
        runner (Runner): Whose log to write to.
        message (str): What happened and what to do, in one line.
        status (int): The exit status.

    Raises:
        SystemExit: Always; no traceback follows.
    """
    runner.logger.error(message)
    sys.stderr.write(f'error: {message}\n')
    raise SystemExit(status)
