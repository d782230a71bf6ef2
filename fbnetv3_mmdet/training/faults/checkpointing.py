"""Checkpoints of which a whole one is there at any moment."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.fileio import LocalBackend, get_file_backend
from mmengine.hooks import CheckpointHook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ...checkpoints import load_safely
from ...files import remove_parts
from .atomic import NAME, AtomicLocalBackend
from .finding import NOTE, find_newest
from .stopping import stop


@HOOKS.register_module()
class DurableCheckpointHook(CheckpointHook):
    """``CheckpointHook`` that never leaves a run without a checkpoint.

    It removes outdated checkpoints when the new one is complete, and not
    before, the best one's predecessor too. Local checkpoints, and
    ``last_checkpoint``, are written by :class:`AtomicLocalBackend`. Where a
    checkpoint cannot be written, the run ends with a line that says so. A run
    that resumes from the latest checkpoint (``resume=True`` without
    ``load_from``) passes over damaged ones, with a warning.

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
        load_safely()
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
        if self.save_best:  # the work dir may be a copy of another
            best = self._best().items()
            self._set_best({k: path and self._here(path) for k, path in best})
        if type(self.file_backend) is LocalBackend:
            self.file_backend = AtomicLocalBackend()
            self.backend_args = dict(backend=NAME)
            if is_main_process():
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
                self._remove(map(self._path, outdated))
        except OSError as error:
            _give_up(runner, self.last_ckpt, error, before)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        if not self.save_best:
            return
        former = self._best()
        # mmengine would remove those that it knows before it writes
        self._set_best(dict.fromkeys(former))
        try:
            super()._save_best_checkpoint(runner, metrics)
        except OSError as error:
            _give_up(runner, 'the best checkpoint', error, self.last_ckpt)
        best = self._best()
        self._set_best({key: best[key] or former[key] for key in former})
        outdated = {former[key] for key in former if best[key]}
        if is_main_process():
            self._remove(outdated - {*best.values(), None})

    def _best(self) -> dict[str, str | None]:
        """Return the paths of the best checkpoints, by metric if several."""
        if len(self.key_indicators) == 1:  # 'auto' gets its name later
            return {'': self.best_ckpt_path}
        return dict(self.best_ckpt_path_dict)

    def _set_best(self, paths: dict[str, str | None]) -> None:
        if len(self.key_indicators) == 1:
            self.best_ckpt_path = paths['']
        else:
            self.best_ckpt_path_dict = paths

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

    def _remove(self, paths: Iterable[str]) -> None:
        for path in paths:
            if self.file_backend.isfile(path):
                self.file_backend.remove(path)
            elif self.file_backend.isdir(path):  # DeepSpeed's are folders
                self.file_backend.rmtree(path)

    def _path(self, step: int | str) -> str:
        return self._here(self.filename_tmpl.format(step))

    def _here(self, path: str) -> str:
        """Return the place that a file of this name has in this run."""
        name = Path(path).name
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
