"""Local files that exist wholly or not at all, for MMEngine's writers."""

from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend

from ...files import complete_file

NAME = 'atomic'  # for ``backend_args``: dict(backend='atomic')


class AtomicLocalBackend(LocalBackend):
    """MMEngine's backend of local files, whose writing is atomic.

    It is registered under a name of its own. Who wants it asks for it, as
    :class:`DurableCheckpointHook` does.
    """

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes; where that fails, nothing has changed.

        Raises:
            OSError: The disk is full, or the folder not writable.
        """
        with complete_file(Path(filepath)) as path:
            path.write_bytes(obj)

    def put_text(
        self, obj: str, filepath: str | Path, encoding: str = 'utf-8'
    ) -> None:
        """Write text, as ``put`` does bytes."""
        self.put(obj.encode(encoding), filepath)


register_backend(NAME, AtomicLocalBackend, force=True)
