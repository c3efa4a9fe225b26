"""A token that programs and browsers must have before they are answered."""

import contextlib
import hmac
import os
import re
import tempfile
from collections.abc import Collection, Iterator
from html import escape
from pathlib import Path
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from utils.files.reading import read_text
from utils.runtime.errors import InputError

VARIABLE = "AUDIO_RETRIEVAL_TOKEN"
_PARAMETER = "token"
_FORM = re.compile(r"[A-Za-z0-9._~-]{16,200}")  # fits into addresses, headers and cookies
_MAKE = "python -c 'import secrets; print(secrets.token_urlsafe())'"


def choose_token(given: str | None, file: Path | None, *, open_to_all: bool) -> str | None:
    """Return the token of the command line, of a file or of the environment; None if there is none.

    Raises
    ------
    InputError
        If the file cannot be read, or the token is too short or has other characters.

    """
    if open_to_all:
        return None
    if file is not None:
        source, token = f"--token-file {file}", read_text(file).strip()
    elif given is not None:
        source, token = "--token", given
    elif VARIABLE in os.environ:
        source, token = VARIABLE, os.environ[VARIABLE]
    else:
        return None
    if not _FORM.fullmatch(token):
        raise InputError(
            f"{source}: a token has 16 to 200 letters, digits and - . _ ~. Make one: {_MAKE}"
        )
    return token


def require_token(host: str) -> InputError:
    """Return the error for a server that others can reach, without a token."""
    return InputError(
        f"on {host}, others can reach this server: they could listen to the sounds, upload clips "
        "and change collections. Give a token,\n"
        f"    {_MAKE} > token.txt\n"
        f"    python scripts/08_serve.py --host {host} --token-file token.txt …\n"
        "or --no-token, if everybody may."
    )


def link_with(address: str, token: str | None) -> str:
    """Return an address of the page that lets a browser in."""
    return f"{address}?{urlencode({_PARAMETER: token})}" if token else address


@contextlib.contextmanager
def leading_to(link: str) -> Iterator[str]:
    """Make a page for this user alone that leads to a link; yields its address.

    A browser is started with this address, so that the link is in no list of processes.
    """
    with tempfile.TemporaryDirectory(prefix="sound-search-") as folder:
        page = Path(folder, "open.html")
        page.write_text(f'<meta http-equiv="refresh" content="0; url={escape(link)}">')
        yield page.as_uri()


class TokenGate:
    """ASGI middleware: lets requests in that have the token, as a bearer's or in a cookie.

    A browser gets the cookie at ``/?token=…``, and is sent on to the same address without it.

    Parameters
    ----------
    app : ASGIApp
    token : str
    free : collection of str
        Addresses that need no token.

    """

    def __init__(self, app: ASGIApp, *, token: str, free: Collection[str]) -> None:
        self._app, self._token, self._free = app, token.encode(), free

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on to the application."""
        answer = self._answer(Request(scope)) if scope["type"] == "http" else None
        await (answer or self._app)(scope, receive, send)

    def _answer(self, request: Request) -> Response | None:
        path, given = request.scope["path"], request.query_params
        cookie = f"token-{request.url.port or 80}"  # cookies are for all ports of a host
        if path == "/" and _PARAMETER in given:
            if not self._is_token(given[_PARAMETER]):
                return _refuse("The token of this link is wrong.")
            rest = [(name, value) for name, value in given.multi_items() if name != _PARAMETER]
            answer = RedirectResponse(f"/?{urlencode(rest)}" if rest else "/", 303)
            answer.set_cookie(cookie, self._token.decode(), httponly=True, samesite="strict")
            return answer
        if path in self._free:
            return None
        kind, _, bearer = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self._is_token(bearer.strip()):
            return None
        if self._is_token(request.cookies.get(cookie, "")):
            return None
        return _refuse("A token is needed.")

    def _is_token(self, text: str) -> bool:
        return hmac.compare_digest(text.encode(), self._token)


def _refuse(reason: str) -> Response:
    text = f"{reason} Open the link that the server printed, or send Authorization: Bearer TOKEN."
    return JSONResponse({"error": text}, 401, {"www-authenticate": "Bearer"})
