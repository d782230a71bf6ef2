"""Checkpoints of which a whole one is there at any moment."""

from __future__ import annotations

from pathlib import Path

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.fileio import LocalBackend, get_file_backend
from mmengine.hooks import CheckpointHook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from .atomic import AtomicLocalBackend, remove_parts
from .finding import NOTE, find_newest
from .stopping import stop


@HOOKS.register_module()
class DurableCheckpointHook(CheckpointHook):
    """``CheckpointHook`` that never leaves a run without a checkpoint.

    It removes outdated checkpoints when the new one is complete, and not
    before, and writes ``last_checkpoint`` atomically, as
    :class:`AtomicLocalBackend` does checkpoints. Where a checkpoint cannot be
    written, the run ends with a line that says so. A run that resumes from
    the latest checkpoint (``resume=True`` without ``load_from``) passes over
    damaged ones, with a warning.

    Args:
        max_keep_ckpts (int): How many checkpoints to keep, the newest; -1 for
            all.
        **kwargs: Settings of ``CheckpointHook``.

    Raises:
        ValueError: A run is to resume, and every checkpoint is damaged.
    """

    def __init__(self, max_keep_ckpts: int = -1, **kwargs) -> None:
        # mmengine would remove a checkpoint before it writes the next
        super().__init__(max_keep_ckpts=-1, **kwargs)
        self._keep = max_keep_ckpts

    def before_run(self, runner: Runner) -> None:
        """Choose the checkpoint to resume from, which MMEngine reads next."""
        if runner._resume and runner._load_from is None:
            folder = self._folder(runner)
            chosen = [None]
            if is_main_process() and folder is not None:
                pattern = self.filename_tmpl.format('*')
                chosen = [find_newest(Path(runner.work_dir), folder, pattern)]
            broadcast_object_list(chosen)  # all resume from the same
            runner._load_from = chosen[0]

    def before_train(self, runner: Runner) -> None:
        """Prepare for saving; clear up after a run that was killed."""
        super().before_train(runner)
        if is_main_process() and isinstance(self.file_backend, LocalBackend):
            remove_parts(Path(self.out_dir))

    def _save_checkpoint_with_step(
        self, runner: Runner, step: int | str, meta: dict
    ) -> None:
        before, self.last_ckpt = self.last_ckpt, self._path(step)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        outdated = self._outdate(runner, step)
        try:
            runner.save_checkpoint(
                self.out_dir,
                self.filename_tmpl.format(step),
                self.file_client_args,
                save_optimizer=self.save_optimizer,
                save_param_scheduler=self.save_param_scheduler,
                meta=meta,
                by_epoch=self.by_epoch,
                backend_args=self.backend_args,
                **self.args,
            )
            if is_main_process():
                note = Path(runner.work_dir, NOTE)
                AtomicLocalBackend().put_text(self.last_ckpt, note)
                self._remove(outdated)
        except OSError as error:
            _give_up(runner, self.last_ckpt, error, before)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        try:
            super()._save_best_checkpoint(runner, metrics)
        except OSError as error:
            _give_up(runner, 'the best checkpoint', error, self.last_ckpt)

    def _outdate(self, runner: Runner, step: int | str) -> list[int | str]:
        """Return the steps to forget once the checkpoint of ``step`` is."""
        hub = runner.message_hub
        kept = [
            *(hub.get_info('keep_ckpt_ids', None) or []),
            step,
        ]
        kept = list(dict.fromkeys(kept))
        number = max(len(kept) - self._keep, 0) if self._keep > 0 else 0
        hub.update_info('keep_ckpt_ids', kept[number:])
        return kept[:number]

    def _remove(self, steps: list[int | str]) -> None:
        for path in map(self._path, steps):
            if self.file_backend.isfile(path):
                self.file_backend.remove(path)
            elif self.file_backend.isdir(path):  # DeepSpeed's are folders
                self.file_backend.rmtree(path)

    def _path(self, step: int | str) -> str:
        name = self.filename_tmpl.format(step)
        return str(self.file_backend.join_path(self.out_dir, name))

    def _folder(self, runner: Runner) -> Path | None:
        """Return where checkpoints are, None for a remote place."""
        work_dir = Path(runner.work_dir)
        if self.out_dir is None:
            return work_dir
        backend = get_file_backend(
            self.out_dir, backend_args=self.backend_args
        )
        local = isinstance(backend, LocalBackend)
        return Path(self.out_dir, work_dir.name) if local else None


def _give_up(
    runner: Runner, what: str, error: OSError, before: str | None
) -> None:
    resume = before or (runner._resume and runner._load_from)
    stop(
        runner,
        f'{what} could not be saved: {error.strerror or error}; '
        + (f'{resume} is whole: ' if resume else 'none was saved before: ')
        + 'make room or the folder writable, then go on with --resume',
    )
