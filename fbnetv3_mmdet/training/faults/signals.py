"""Ends a training as asked by Ctrl-C or a scheduler."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, NoReturn

from mmengine.dist import is_main_process
from mmengine.hooks import EMAHook, Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from .exchange import Exchange
from .stopping import save_now, stop

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_PDEATHSIG = 1  # PR_SET_PDEATHSIG of Linux's prctl.h
_ECHO = 1.0  # seconds in which torchrun passes a signal on that all got


@HOOKS.register_module()
class StopOnSignalHook(Hook):
    """On SIGINT or SIGTERM, save a checkpoint and end the process.

    That is at the end of the iteration, or at once in an evaluation. The
    exit status is the shell's, 128 and the signal's number: 130 for Ctrl-C,
    143 for SIGTERM. A second signal ends the process without saving. Of
    several processes all stop after the same iteration, about a second later,
    and one saves. On Linux they do so too where torchrun, which watches over
    them, was killed.

    The run's ``CheckpointHook`` says where and what to save.

    Processes that are forked meanwhile, such as a ``multiprocessing.Pool`` of
    a metric or a transform, do what SIGTERM says: a pool would wait for ever
    for workers that do not. They leave Ctrl-C, which a terminal sends to all,
    to the run. Workers of its data loaders live through both.
    """

    priority = 'LOWEST'  # the iteration is complete, and perhaps saved

    def __init__(self) -> None:
        self._signal = 0
        self._since = 0.0
        self._exchange = Exchange()
        self._handlers: dict[int, Any] = {}

    def before_train(self, runner: Runner) -> None:
        """Begin to listen; workers of data loaders get deaf."""
        if threading.current_thread() is not threading.main_thread():
            return  # where Python allows no handlers
        for number in _SIGNALS:
            former = signal.signal(number, self._note)
            hook = getattr(former, '__self__', None)
            if isinstance(hook, StopOnSignalHook):  # its training failed
                former = hook._handlers[number]
            self._handlers[number] = former
        _FORKS.begin(self._handlers[signal.SIGTERM])
        loops = (runner.train_loop, runner.val_loop)
        for loader in (loop.dataloader for loop in loops if loop is not None):
            loader.worker_init_fn = _DeafInit(loader.worker_init_fn)
            _FORKS.except_workers(loader)
        if 'TORCHELASTIC_RUN_ID' in os.environ:
            _end_with_parent(signal.SIGTERM)

    def after_train(self, runner: Runner) -> None:
        """Leave signals to whoever had them before."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        _FORKS.end()

    def after_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        """Stop where a signal came in this iteration."""
        number = self._exchange.after_iteration(self._signal)
        if number:
            done = runner.iter + 1
            _end(runner, number, done, f'{runner.epoch}_iter_{done}')

    def before_val(self, runner: Runner) -> None:
        """Let all know of a signal that one of them got before."""
        number = self._exchange.now(self._signal)
        if number and not self._signal:
            self._note(number, None)

    def after_val_iter(self, runner: Runner, *args, **kwargs) -> None:
        """Stop in an evaluation, which a resumed run repeats."""
        if self._signal:
            for hook in runner.hooks:
                if isinstance(hook, EMAHook):  # evaluations swap the weights
                    hook._swap_ema_parameters()
            self.after_val(runner)

    def after_val(self, runner: Runner) -> None:
        """Stop where a signal came while the metrics were computed."""
        if self._signal:
            _end(runner, self._signal, runner.iter, str(runner.epoch))

    def _note(self, number: int, frame: Any) -> None:
        if not self._signal:
            self._signal, self._since = number, time.monotonic()
        elif time.monotonic() - self._since > _ECHO:
            os._exit(128 + number)


def _end(runner: Runner, number: int, done: int, epoch: str) -> NoReturn:
    """Save a checkpoint and end the process.

    Args:
        runner: The run.
        number: The signal.
        done: How many iterations are complete.
        epoch: What a checkpoint is called after that is named by epochs.
    """
    path = save_now(runner, done, epoch)
    saved = (
        f'saved as {path}; go on with --resume'
        if path
        else 'not saved, as the run has no CheckpointHook'
    )
    status = 128 + number
    if not is_main_process():
        raise SystemExit(status)
    name = signal.Signals(number).name
    stop(runner, f'stopped by {name}: iteration {done} is {saved}', status)


class _Forks:
    """Gives processes that this one forks a SIGTERM that ends them.

    Signals wait while a process is forked: one that came before its handler
    is set would be lost.
    """

    def __init__(self) -> None:
        self._listening = self._registered = self._excepted = False
        self._former: Any = signal.SIG_DFL
        self._masks = threading.local()

    def begin(self, former: Any) -> None:
        """Begin; ``former`` is the handler of SIGTERM that they get."""
        self._listening, self._former = True, former
        if not self._registered and hasattr(os, 'register_at_fork'):
            os.register_at_fork(
                before=self._hold,
                after_in_parent=self._release,
                after_in_child=self._give_back,
            )
            self._registered = True

    def end(self) -> None:
        """Leave forked processes as they are."""
        self._listening = False

    def except_workers(self, loader: DataLoader) -> None:
        """Leave the workers of a data loader as they are."""
        # A cycle of references would have Python end workers too late.
        get_loader, kind = weakref.ref(loader), type(loader)

        def get_iterator() -> Any:
            self._excepted = True
            try:
                return kind._get_iterator(get_loader())
            finally:
                self._excepted = False

        loader._get_iterator = get_iterator

    def _hold(self) -> None:
        self._masks.before = signal.pthread_sigmask(
            signal.SIG_BLOCK, _SIGNALS if self._listening else ()
        )

    def _release(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._masks.before)

    def _give_back(self) -> None:
        if self._listening and not self._excepted:
            signal.signal(signal.SIGTERM, self._former)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            self._listening = False
        self._release()


_FORKS = _Forks()


class _DeafInit:
    """Has a data loader's worker live as long as its parent, no longer.

    It lives through signals to its process group: its parent needs another
    batch or two, and tells the worker when to end.

    Args:
        init: The ``worker_init_fn`` that the loader had.
    """

    def __init__(self, init: Callable[[int], None] | None) -> None:
        self._init = init

    def __call__(self, worker_id: int) -> None:
        # A worker that outlives its parent keeps the parent's connections
        # open, and other processes wait in vain for an answer.
        _end_with_parent(signal.SIGKILL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(
            target=_obey, args=(os.getppid(),), daemon=True
        ).start()
        if self._init is not None:
            self._init(worker_id)


def _end_with_parent(number: int) -> None:
    """Have Linux send this process a signal when its parent is gone."""
    if sys.platform == 'linux':
        ctypes.CDLL(None).prctl(_PDEATHSIG, number)


def _obey(parent: int) -> None:
    """End this process when its parent sends SIGTERM, nobody else."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)
