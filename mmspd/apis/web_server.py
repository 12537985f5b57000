"""Serve a web application with bounded connections."""

import asyncio
from functools import partial
from typing import Any, Dict, Optional

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from mmspd.apis.web_guard import LIMITS, Limits

__all__ = ['make_server']

_BAD_REQUEST = (
    b'HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nX-Content-Type-Options: nosniff\r\n'
    b'Content-Length: 27\r\nConnection: close\r\n\r\nThis is not a HTTP request.'
)


def make_server(app: ASGIApp, limits: Limits = LIMITS) -> uvicorn.Server:
    """Create a server that ends connections on which nothing happens.

    Args:
        app: The application, see :func:`~mmspd.apis.webui.make_app`.
        limits: The limits.

    Returns:
        The server, which is not started.
    """
    # log_config=None, because uvicorn's logging setup would close the log files of this process
    config = uvicorn.Config(
        app,
        http=partial(_Connection, limits),  # type: ignore[arg-type]
        ws='none',
        lifespan='off',
        log_level='error',
        log_config=None,
        server_header=False,
        proxy_headers=False,
    )
    return uvicorn.Server(config)


class _Connection(H11Protocol):
    """A connection for one request. uvicorn itself waits for a header without a limit.

    The application finds the function ``abort`` in the state of the request. It ends the connection
    at once, also if the client does not read.
    """

    def __init__(
        self,
        limits: Limits,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: Dict[str, Any],
        _loop: Optional[asyncio.AbstractEventLoop] = None,
    ) -> None:
        super().__init__(config, server_state, dict(app_state, abort=self._abort), _loop)
        self._limits = limits

    def connection_made(self, transport: Any) -> None:
        """Start the time limit for the header, or end a connection that is one too many."""
        super().connection_made(transport)
        if len(self.connections) > self._limits.connections:
            transport.abort()
        self.loop.call_later(self._limits.header_seconds, self._require_header)

    def on_response_complete(self) -> None:
        """Give the client time to read the rest of the answer, and then end the connection."""
        super().on_response_complete()
        self.loop.call_later(self._limits.send_seconds, self._abort)

    def send_400_response(self, msg: str) -> None:
        """Answer to data that is not HTTP, unless an answer has begun."""
        if self.cycle is None:
            self.transport.write(_BAD_REQUEST)
            self.transport.close()
        else:
            self.transport.abort()

    def _require_header(self) -> None:
        if self.cycle is None:
            self._abort()

    def _abort(self) -> None:
        self.transport.abort()
