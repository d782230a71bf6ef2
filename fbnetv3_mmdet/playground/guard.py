"""Who may ask: one layer in front of everything that the server answers."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

MAX_BODY = 20_000_000  # bytes, of a picture
# NiceGUI compiles its pages in the browser: it needs inline scripts and eval.
POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "font-src 'self' data:; connect-src 'self'; media-src 'self' blob:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = (
    (b'content-security-policy', POLICY.encode()),
    (b'x-content-type-options', b'nosniff'),
    (b'referrer-policy', b'no-referrer'),
    (b'permissions-policy', b'camera=(self), microphone=(), geolocation=()'),
    (b'cross-origin-opener-policy', b'same-origin'),
    (b'cross-origin-resource-policy', b'same-origin'),
)


class Guard:
    """An ASGI layer that lets through this user's browser, and nobody else.

    A page that starts processes is remote execution if others may ask. Each
    request and each websocket must name this machine as its host, come from
    this page or from the address bar, and carry the key: once in the address,
    then in a cookie that no script reads and no other site sends.

    Args:
        app: What answers.
        port: Of the server.
        key: The secret; all who know it may ask.
    """

    def __init__(self, app: App, port: int, key: str) -> None:
        self._app = app
        self._key = key
        self._cookie = f'playground_{port}'
        names = ('127.0.0.1', 'localhost', '[::1]')
        self._hosts = {f'{name}:{port}' for name in names}
        self._origins = {f'http://{host}' for host in self._hosts}

    async def __call__(
        self, scope: Message, receive: Receive, send: Send
    ) -> None:
        """Answer, or refuse to."""
        if scope['type'] == 'lifespan':
            await self._app(scope, receive, send)
            return
        headers = _headers(scope)
        status = self._refusal(scope, headers)
        if scope['type'] == 'websocket':
            if status or not self._has_cookie(headers):
                await receive()
                await send({'type': 'websocket.close', 'code': 1008})
            else:
                await self._app(scope, receive, send)
        elif status:
            await _answer(send, status)
        elif self._has_cookie(headers):
            await self._app(scope, receive, _with_headers(send))
        elif self._is_key(scope):
            cookie = f'{self._cookie}={self._key}; Path=/; HttpOnly; '
            await _answer(
                send,
                303,
                (b'location', b'/'),
                (b'set-cookie', (cookie + 'SameSite=Strict').encode()),
            )
        else:
            await _answer(send, 401)

    def _refusal(self, scope: Message, headers: dict[str, list[str]]) -> int:
        """Return the status of a refusal, 0 where there is none."""
        if headers.get('host', [])[:1] != headers.get('host') or (
            headers.get('host', [''])[0] not in self._hosts
        ):
            return 421  # another name for this machine: DNS rebinding
        socket = scope['type'] == 'websocket'
        origins = headers.get('origin', [])
        if any(o not in self._origins for o in origins) or (
            socket and not origins
        ):
            return 403
        sites = headers.get('sec-fetch-site', [])
        if any(site not in ('same-origin', 'none') for site in sites):
            return 403
        if socket or scope['method'] in ('GET', 'HEAD'):
            return 0
        if scope['method'] != 'POST' or 'transfer-encoding' in headers:
            return 405 if scope['method'] != 'POST' else 411
        lengths = headers.get('content-length', ['0'])
        if len(lengths) != 1 or not lengths[0].isdecimal():
            return 400
        return 413 if int(lengths[0]) > MAX_BODY else 0

    def _has_cookie(self, headers: dict[str, list[str]]) -> bool:
        for line in headers.get('cookie', []):
            try:
                morsel = SimpleCookie(line).get(self._cookie)
            except CookieError:
                continue
            if morsel and self._equals_key(morsel.value):
                return True
        return False

    def _is_key(self, scope: Message) -> bool:
        query = parse_qs(scope['query_string'].decode('latin-1'))
        given = query.get('key', [''])
        return (
            scope['path'] == '/'
            and scope['method'] == 'GET'
            and self._equals_key(given[0])
        )

    def _equals_key(self, given: str) -> bool:
        return secrets.compare_digest(given.encode(), self._key.encode())


def _headers(scope: Message) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in scope['headers']:
        found.setdefault(name.decode('latin-1').lower(), []).append(
            value.decode('latin-1')
        )
    return found


def _with_headers(send: Send) -> Send:
    async def wrapped(message: Message) -> None:
        if message['type'] == 'http.response.start':
            message['headers'] = [*message.get('headers', ()), *HEADERS]
        await send(message)

    return wrapped


async def _answer(send: Send, status: int, *headers: tuple) -> None:
    start = {'type': 'http.response.start', 'status': status}
    length = (b'content-length', b'0')
    await send({**start, 'headers': [length, *headers, *HEADERS]})
    await send({'type': 'http.response.body', 'body': b''})
