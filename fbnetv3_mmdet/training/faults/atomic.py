"""Local files that exist wholly or not at all."""

import os
from contextlib import suppress
from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend

_PART = '.part'  # ends the names of unfinished files, which start with a dot


class AtomicLocalBackend(LocalBackend):
    """MMEngine's backend of local files, whose writing is atomic.

    A file is written beside its place under a hidden name, put onto the disk
    and renamed. Whenever the process or the machine stops, there is the file
    of before or the new one.
    """

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes; where that fails, nothing has changed.

        Raises:
            OSError: The disk is full, or the folder not writable.
        """
        path = Path(os.path.realpath(filepath))  # a link stays one
        if path.exists() and not path.is_file():  # a device, say
            super().put(obj, filepath)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f'.{path.name}.{os.getpid()}{_PART}')
        try:
            with open(part, 'wb') as file:
                file.write(obj)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        except BaseException:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise
        _sync_names(path.parent)

    def put_text(
        self, obj: str, filepath: str | Path, encoding: str = 'utf-8'
    ) -> None:
        """Write text, as ``put`` does bytes."""
        self.put(obj.encode(encoding), filepath)


def register_atomic_backend() -> None:
    """Have all that MMEngine writes to local paths written atomically."""
    register_backend('local', AtomicLocalBackend, force=True, prefixes='')


def remove_parts(folder: Path) -> None:
    """Remove the unfinished files of processes that were killed."""
    for part in folder.glob(f'.*{_PART}'):
        part.unlink(missing_ok=True)


def _sync_names(folder: Path) -> None:
    """Put a folder's names onto the disk, a new file's among them."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
