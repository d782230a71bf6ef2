"""The server's side of the engine: one call at a time, begun when needed."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

LINE = 64_000_000  # bytes, of an answer


class Engine:
    """Calls the engine's functions; begins its process when there is none."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._lock = asyncio.Lock()
        self._number = 0  # of the last call

    async def call(self, name: str, **arguments: Any) -> Any:
        """Return what a function of the engine returns.

        An engine that was killed meanwhile is begun again, once.

        Raises:
            ValueError: The function says what is wrong, or the engine ended
                twice.
        """
        async with self._lock:
            answer = await self._ask(name, arguments)
            answer = answer or await self._ask(name, arguments)
        if answer is None:
            raise ValueError(
                'the engine ended without an answer, as where memory runs '
                'out; close other programs and try again'
            )
        if 'error' in answer:
            raise ValueError(answer['error'])
        return answer['result']

    async def _ask(self, name: str, arguments: dict[str, Any]) -> dict | None:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, '-m', 'fbnetv3_mmdet.playground.engine'),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                limit=LINE,
            )
        self._number += 1
        call = dict(number=self._number, name=name, arguments=arguments)
        try:
            self._process.stdin.write(json.dumps(call).encode() + b'\n')
            await self._process.stdin.drain()
            while line := await self._process.stdout.readline():
                answer = json.loads(line)
                # one of before is of a page that was closed meanwhile
                if answer['number'] == self._number:
                    return answer
        except (BrokenPipeError, ConnectionResetError, ValueError):
            pass  # it was killed, perhaps within an answer
        await self._process.wait()
        return None

    async def close(self) -> None:
        """End the process."""
        if self._process and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
