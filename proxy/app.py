"""The worker's ASGI application: our own paths to Starlette, every other path to the forwarder.

Law: one comparison of the raw path decides, nothing stands between the server and the forwarder.
"""

from __future__ import annotations

from starlette.types import ASGIApp

from proxy.client import Receive, Scope, Send
from proxy.forward import Forwarder
from proxy.status import Surroundings, own_app, own_routes


class ProxyApp:
    """What a worker serves."""

    def __init__(self, forwarder: Forwarder, view: Surroundings) -> None:
        self._forward = forwarder
        self.reconfigure(view)

    def reconfigure(self, view: Surroundings) -> None:
        """Show other surroundings."""
        self._own = own_app(own_routes(view), view.config.admin.token)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        path = scope["raw_path"]
        if path.startswith(b"/-/") or path == b"/-":
            await self._own(scope, receive, send)
        else:
            await self._forward(scope, receive, send)


class Replaceable:
    """An application that another one can take the place of between two requests."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        await self.app(scope, receive, send)
