"""How a run ends before its time."""

import sys
from typing import NoReturn

from mmengine.hooks import CheckpointHook
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


def save_now(runner: Runner, done: int, epoch: str) -> str | None:
    """Save a checkpoint, unless the run has just saved one.

    Args:
        runner (Runner): Its first ``CheckpointHook`` says where to and what.
        done (int): How many iterations are complete.
        epoch (str): What a checkpoint is called after that is named by epochs.

    Returns:
        str: Its path, None where the run has no ``CheckpointHook``.
    """
    hooks = [hook for hook in runner.hooks if isinstance(hook, CheckpointHook)]
    if not hooks:
        return None
    hook = hooks[0]
    step = epoch if hook.by_epoch else done
    name = hook.filename_tmpl.format(step)
    path = str(hook.file_backend.join_path(hook.out_dir, name))
    if hook.last_ckpt != path:
        meta = dict(epoch=runner.epoch, iter=done)
        hook._save_checkpoint_with_step(runner, step, meta)
    return path
