"""Protect a web application from foreign pages and from clients that stall."""

import asyncio
import contextlib
import ipaddress
import re
import socket
from typing import Awaitable, Iterable, NamedTuple, Optional, TypeVar

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ['LIMITS', 'Guard', 'Limits', 'Refusal', 'RefusedError', 'read_body']

T = TypeVar('T')

# The page loads resources from its server only, and no other page may show or load it.
_POLICY = (
    "default-src 'none'; connect-src 'self'; img-src blob: data:; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    'Content-Security-Policy': _POLICY,
    'X-Content-Type-Options': 'nosniff',
    'X-Frame-Options': 'DENY',
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Referrer-Policy': 'same-origin',
    'Cache-Control': 'no-store',
    # one request per connection, so that the server can bound the time of every step
    'Connection': 'close',
}
_RAW_HEADERS = [(name.lower().encode(), value.encode()) for name, value in _HEADERS.items()]
_HOST = re.compile(r'(\[[0-9a-f:.]+\]|[\w.-]+)(?::\d+)?', re.ASCII | re.IGNORECASE)

# A refused client may still send its body. Without reading it, the connection would be reset, and
# the client would not see the answer.
_LINGER_SECONDS, _LINGER_BYTES = 2, 2**24


class Limits(NamedTuple):
    """Limits of the server against clients that stall or send too much.

    Attributes:
        connections: Number of open connections.
        requests: Number of photos that are received, wait or are restored.
        header_seconds: Time for the header of a request.
        body_seconds: Time for which a client may send its body more slowly than ``rate``.
        send_seconds: Time for which a client may read its answer more slowly than ``rate``. The
            time of the restoration does not count.
        rate: Slowest speed of a client, in bytes per second.
    """

    connections: int = 64
    requests: int = 4
    header_seconds: float = 10
    body_seconds: float = 30
    send_seconds: float = 30
    rate: float = 20_000


LIMITS = Limits()


class _Patience:
    """The time that the server still waits for a client; progress at ``rate`` renews it."""

    def __init__(self, seconds: float, rate: float) -> None:
        self._seconds = self._left = seconds
        self._rate = rate

    async def wait(self, step: Awaitable[T]) -> T:
        """Wait for a step of the client.

        Raises:
            asyncio.TimeoutError: The client has used up its time.
        """
        loop = asyncio.get_running_loop()
        start = loop.time()
        try:
            return await asyncio.wait_for(step, self._left)
        finally:
            self._left -= loop.time() - start

    def renew(self, size: int) -> None:
        """Add the time for a number of bytes."""
        self._left = min(self._seconds, self._left + size / self._rate)


class Refusal(JSONResponse):
    """A response with a sentence to a request whose body may not have arrived.

    Args:
        status: HTTP status.
        sentence: The reason, and the fix.
    """

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(dict(error=sentence), status)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer at once, and then discard a part of the body."""

        async def send_part(message: Message) -> None:
            await send({**message, 'more_body': True} if 'body' in message else message)

        await super().__call__(scope, receive, send_part)
        with contextlib.suppress(asyncio.TimeoutError):  # the client could read the answer
            await asyncio.wait_for(_discard(receive), _LINGER_SECONDS)
        await send({'type': 'http.response.body', 'body': b''})


async def _discard(receive: Receive) -> None:
    size, more = 0, True
    while more and size < _LINGER_BYTES:
        message = await receive()
        size += len(message.get('body', b''))
        more = message.get('more_body', False)


class RefusedError(Exception):
    """A request that is refused while its body is read.

    Args:
        status: HTTP status.
        sentence: The reason, and the fix.
    """

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


async def read_body(
    scope: Scope, receive: Receive, name: str, max_bytes: int, limits: Limits
) -> bytes:
    """Read the body of a request.

    Args:
        scope: The request.
        receive: The function that receives the parts of the body.
        name: Name of the photo, for messages.
        max_bytes: Size limit of the body.
        limits: Limits of the time.

    Returns:
        The body.

    Raises:
        RefusedError: The body is too large or too slow.
        ClientDisconnect: The client has left.
    """
    too_large = RefusedError(
        413,
        f"'{name}' is larger than {max_bytes / 1e6:.4g} MB, the limit of this page; choose a "
        'smaller file, or restart the page with a larger --max-megabytes.',
    )
    length = Headers(scope=scope).get('content-length', '')
    if length.isdecimal() and int(length) > max_bytes:
        raise too_large
    data, more = bytearray(), True
    patience = _Patience(limits.body_seconds, limits.rate)
    while more:
        try:
            message = await patience.wait(receive())
        except asyncio.TimeoutError:
            raise RefusedError(
                408, f"'{name}' arrives too slowly; use a faster connection to the page."
            ) from None
        if message['type'] == 'http.disconnect':
            raise ClientDisconnect
        part = message.get('body', b'')
        patience.renew(len(part))
        data += part
        if len(data) > max_bytes:
            raise too_large
        more = message.get('more_body', False)
    return bytes(data)


class Guard:
    """ASGI application that checks each request before another application answers it.

    * The name of the server in the request (``Host``) must be an IP address, ``localhost``, the
      name of this machine, or an allowed name. Otherwise a foreign page could let its own name
      point to this server (DNS rebinding).
    * A request that a page sends must come from a page of this server (``Origin``,
      ``Sec-Fetch-Site``).
    * Every answer has headers that keep it from foreign pages.
    * A client that does not read its answer is disconnected.

    Args:
        app: The other application.
        hosts: Allowed names of the server.
        limits: The limits.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str], limits: Limits) -> None:
        self.app = app
        machine = socket.gethostname()
        own = ('localhost', machine, f'{machine.partition(".")[0]}.local')
        self.hosts = {name.lower().rstrip('.') for name in (*own, *hosts)} - {''}
        self.limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check and answer a request."""
        if scope['type'] != 'http':
            await self.app(scope, receive, send)
            return
        abort = scope.get('state', {}).get('abort')
        patience = _Patience(self.limits.send_seconds, self.limits.rate)

        async def guarded_send(message: Message) -> None:
            if message['type'] == 'http.response.start':
                message = {**message, 'headers': [*message.get('headers', ()), *_RAW_HEADERS]}
            try:
                await patience.wait(send(message))
            except asyncio.TimeoutError:
                if abort is None:
                    raise
                abort()  # the application is told that the client has left
            patience.renew(len(message.get('body', b'')))

        fault = self._fault(Headers(scope=scope), scope['method'])
        app = self.app if fault is None else Refusal(403, fault)
        await app(scope, receive, guarded_send)

    def _fault(self, headers: Headers, method: str) -> Optional[str]:
        """Return the reason why a request is refused."""
        host = headers.get('host', '').lower()
        match = _HOST.fullmatch(host)
        name = match[1].strip('[]').rstrip('.') if match else ''
        if name not in self.hosts and not _is_address(name):
            return (
                'This page does not answer to the name in the address; use the IP address of the '
                'server, or restart the page with --allow-host and this name.'
            )
        own = (f'http://{host}', f'https://{host}')
        if any(origin.lower() not in own for origin in headers.getlist('origin')):
            return 'Another page sent this request; open the address of this page itself.'
        opened = method == 'GET' and headers.get('sec-fetch-mode') == 'navigate'  # a link
        if headers.get('sec-fetch-site', 'none') not in ('none', 'same-origin') and not opened:
            return 'Another page sent this request; open the address of this page itself.'
        return None


def _is_address(name: str) -> bool:
    """Return whether a name is an IP address, which needs no DNS."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
