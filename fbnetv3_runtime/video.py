"""Frames of videos and cameras, by OpenCV."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

STALL = 10.0  # s without a frame, after which a camera is opened again
PAUSE = 1.0  # s before that
TRIES = 3  # to open it, before it is given up
MAX_GAP = 1000  # frames in a row that cannot be read: the rest is gone
UNKNOWN_GAP = 30  # the same where the file does not say how many it has
FPS = 25.0  # of a video that does not tell

Frame = tuple[int, np.ndarray]


class FramesLost(ValueError):
    """Frames of a video could not be read; the others were."""


class Video:
    """A video file, a stream or a camera.

    Args:
        source: Path or URL of a video, or the number of a camera.

    Attributes:
        fps (float): Frames a second.
        frames (int): How many the file says it has; 0: it does not say.
        is_live (bool): Whether it is a camera or stream, which has no end.

    Raises:
        ImportError: OpenCV is not installed.
        ValueError: The video cannot be read.
    """

    def __init__(self, source: str | os.PathLike | int) -> None:
        try:
            import cv2
        except ImportError as error:
            raise ImportError(
                'videos and cameras need OpenCV: '
                'pip install opencv-python-headless'
            ) from error
        self._cv2 = cv2
        self._source = source
        self._capture = self._open()
        if not self._capture.isOpened():
            raise ValueError(
                f'{source} is no readable video or camera; give the path of '
                'a video file, or the number of a camera, from 0'
            )
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if 0 < fps <= 1000 else FPS
        self.frames = max(int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0)
        is_camera = isinstance(source, int)
        self.is_live = is_camera or '://' in str(source) and not self.frames

    def __iter__(self) -> Iterator[Frame]:
        """Yield numbers, from 1, and frames, (height, width, 3), uint8, RGB.

        Frames of a file that cannot be read are passed over. A camera that
        gives none for ten seconds is opened again.

        Raises:
            FramesLost: At the end; frames could not be read, or a camera has
                gone.
        """
        frames = self._read_live() if self.is_live else self._read_file()
        for number, frame in frames:
            yield number, self._cv2.cvtColor(frame, self._cv2.COLOR_BGR2RGB)

    def _open(self) -> Any:
        is_camera = isinstance(self._source, int)
        return self._cv2.VideoCapture(
            self._source if is_camera else os.fspath(self._source)
        )

    def _read_file(self) -> Iterator[Frame]:
        number = last = good = 0
        # the end is where no frame is: one that is ruined may be before it
        gap = 1 if self.frames else UNKNOWN_GAP
        while number < self.frames or number - last < gap:
            read, frame = self._capture.read()
            number += 1
            if read:
                last = number
                good += 1
                yield number, frame
            elif number - last >= MAX_GAP:
                break
        self._capture.release()
        total = max(self.frames, last)
        if good < total or not good:
            raise FramesLost(
                f'{total - good} of {total} frames of {self._source} could '
                'not be read; copy or record it again'
            )

    def _read_live(self) -> Iterator[Frame]:
        number, tries = 0, 0
        stream = _Stream(lambda: self._capture)
        while True:
            frame = stream.next()
            if frame is not None:
                number, tries = number + 1, 0
                yield number, frame
                continue
            stream.stop()
            if tries == TRIES:
                break
            tries += 1
            time.sleep(PAUSE)
            stream = _Stream(self._open)
        raise FramesLost(
            f'{self._source} gives no frames after {number}, though it was '
            f'opened {TRIES} times more; look at the camera and its network'
        )


class _Stream:
    """Reads a camera in a thread, as neither open nor read may ever return.

    Args:
        open_capture: Returns OpenCV's capture. The thread releases it.
    """

    def __init__(self, open_capture: Callable[[], Any]) -> None:
        self._open_capture = open_capture
        self._stopped = threading.Event()
        self._frames: queue.Queue[np.ndarray | None] = queue.Queue(1)
        threading.Thread(target=self._read, daemon=True).start()

    def next(self) -> np.ndarray | None:
        """Return the next frame; None: there is none for a while, or none."""
        try:
            return self._frames.get(timeout=STALL)
        except queue.Empty:
            return None

    def stop(self) -> None:
        self._stopped.set()

    def _read(self) -> None:
        capture = self._open_capture()
        read = True
        while read and not self._stopped.is_set():
            read, frame = capture.read()
            self._put(frame if read else None)
        capture.release()

    def _put(self, frame: np.ndarray | None) -> None:
        while not self._stopped.is_set():
            try:
                self._frames.put(frame, timeout=0.1)
                return
            except queue.Full:
                pass
