"""Protects the server from pages of other sites, which can make a browser send requests to it.

Requests must name one of the server's own hosts (a foreign name that resolves to this machine is
refused), and requests that change something must come from the server's own page.
"""

import ipaddress
import socket
from collections.abc import Mapping
from types import MappingProxyType

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from utils.runtime.errors import InputError

LOOPBACK = ("localhost", "127.0.0.1", "::1")
EVERYWHERE = ("0.0.0.0", "::")
_SAFE_METHODS = ("GET", "HEAD")
_HEADERS = {
    # Everything on the page comes from this server, except that the browser plays an uploaded clip
    # from its own memory (blob:). No script may turn text into elements.
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class Refusal(InputError):
    """A request that is refused, with the HTTP status and headers of the answer."""

    def __init__(
        self, status: int, message: str, headers: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        super().__init__(message)
        self.status, self.headers = status, headers


class Guard:
    """ASGI middleware: refuses requests of other sites, and adds headers to all answers.

    `host` is the name or address that the server listens on.
    """

    def __init__(self, app: ASGIApp, *, host: str) -> None:
        self._app = app
        self._host = host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on to the application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        try:
            self._check(Headers(scope=scope), scope["method"], scope["scheme"])
        except Refusal as refusal:
            answer = JSONResponse({"error": str(refusal)}, refusal.status)
            await answer(scope, receive, send_with_headers)
        else:
            await self._app(scope, receive, send_with_headers)

    def _check(self, headers: Headers, method: str, scheme: str) -> None:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._is_own(_without_port(hosts[0])):
            raise Refusal(
                421,
                f"This server does not answer to the name {', '.join(hosts) or '(none)'!r}. Use "
                "the address that it printed when it started.",
            )
        if method in _SAFE_METHODS:
            return
        # Browsers send the origin of all other requests. Programs need not: no page controls them.
        origin = headers.get("origin")
        own = origin == f"{scheme}://{hosts[0]}"
        if not own and (origin or headers.get("sec-fetch-site", "none") != "none"):
            raise Refusal(403, "This request comes from another site's page.")

    def _is_own(self, name: str) -> bool:
        if name in LOOPBACK or name == self._host.lower():
            return True
        if self._host not in EVERYWHERE:
            return False
        return name == socket.gethostname().lower() or _is_address(name)


def _without_port(host: str) -> str:
    name, _, port = host.lower().rpartition(":")
    if not name or not port.isdecimal():
        name = host.lower()
    return name.removeprefix("[").removesuffix("]")


def _is_address(name: str) -> bool:
    """Return whether this is an address: unlike a name, it cannot be made to resolve to others."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
