"""Files from the web: resumed, verified, and under their names only when they are complete."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from utils.files.locks import LockFile
from utils.files.reading import digest
from utils.files.writing import require_room
from utils.runtime.errors import InputError, first_line

if TYPE_CHECKING:  # its import takes a moment, and files that are there need no network
    import requests

# Called with the size in bytes, 0 if unknown; `update` of what it returns is given what arrives.
Progress = Callable[[int], AbstractContextManager]

_TRIES = 5  # without a new byte; the waits between them double
_BACKOFF = 1.0  # seconds
_LONGEST_WAIT = 300  # seconds, if the server asks for more
_TIMEOUT = (10, 60)  # seconds: to connect, and between two pieces
_PIECE = 2**16  # bytes
_BUSY = (408, 429, 500, 502, 503, 504)
_RESUMED, _NOTHING_LEFT = 206, 416


def download(
    url: str, path: Path, *, checksum: str | None, progress: Progress | None = None
) -> None:
    """Download a file, unless it is there already.

    An interrupted download leaves ``<name>.partial``, which the next one resumes if the server can.
    Broken connections and busy servers are retried. Proxies and certificates come from the usual
    environment variables (HTTPS_PROXY, NO_PROXY, REQUESTS_CA_BUNDLE). Processes that download the
    same file take turns.

    Parameters
    ----------
    url : str
        ``http:`` or ``https:``.
    path : Path
        Its folder is made if missing.
    checksum : str or None
        ``md5:`` or ``sha256:``, then hexadecimal digits. None if none is published; nothing is
        resumed then.
    progress : Progress, optional

    Raises
    ------
    InputError
        If the file cannot be downloaded or written, does not have that checksum, or does not fit on
        the disk. What has arrived is kept to be resumed, except where the checksum is wrong.

    """
    part = path.with_name(path.name + ".partial")
    try:
        with _turn(part.with_name(part.name + ".lock")):
            if path.exists():
                return
            if checksum is None:
                part.unlink(missing_ok=True)
            for _ in range(2):  # again if its pieces may be of different files
                in_one_piece = _fetch(url, part, progress)
                if checksum is None or has_checksum(part, checksum):
                    part.replace(path)
                    return
                part.unlink()
                if in_one_piece:
                    break
            raise InputError(
                f"what {url} sends does not have the published checksum ({checksum}), and was "
                "removed: the network or a proxy changes it, or the file was replaced. Try again "
                f"later, or download it elsewhere and put it at {path}."
            )
    except OSError as error:
        raise InputError(
            f"cannot write {path}: {error}. Check that its folder may be written to and that the "
            "disk has room; the same download then resumes."
        ) from error


def has_checksum(path: Path, checksum: str) -> bool:
    """Whether a file has a checksum, written as `download` takes it; see `digest` for errors."""
    kind, _, digits = checksum.partition(":")
    return digest(path, kind) == digits


@contextlib.contextmanager
def _turn(path: Path) -> Iterator[None]:
    """Wait until no other process holds a lock, and hold it."""
    lock = LockFile(path)
    lock.wait_to_hold()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
        lock.release()


def _fetch(url: str, part: Path, progress: Progress | None) -> bool:
    """Append to a file what it lacks of a download; returns whether it all came in one piece."""
    import requests
    from urllib3.exceptions import MaxRetryError
    from urllib3.util import Retry

    patient = retry = Retry(_TRIES - 1, backoff_factor=_BACKOFF, retry_after_max=_LONGEST_WAIT)
    with requests.Session() as session, part.open("ab") as file:
        first = most = file.tell()
        while True:
            try:
                _receive(session, url, file, progress)
                break
            except requests.RequestException as error:
                if file.tell() > most:
                    most, retry = file.tell(), patient
                with contextlib.suppress(MaxRetryError):
                    if _may_pass(error):
                        retry = retry.increment()
                        retry.sleep(None if error.response is None else error.response.raw)
                        continue
                raise InputError(
                    f"cannot download {url}: {first_line(error)}. Check the network and its proxy "
                    "(HTTPS_PROXY), and run the same command again to resume; or download the "
                    f"file elsewhere and put it at {part.with_suffix('')}."
                ) from error
        file.flush()
        os.fsync(file.fileno())
    return first == most == 0


def _may_pass(error: requests.RequestException) -> bool:
    """Whether the same request may succeed later."""
    from requests import exceptions

    if error.response is not None:
        return error.response.status_code in _BUSY
    broken = (exceptions.ConnectionError, exceptions.ChunkedEncodingError, exceptions.Timeout)
    return isinstance(error, broken) and not isinstance(error, exceptions.SSLError)


def _receive(
    session: requests.Session, url: str, file: IO[bytes], progress: Progress | None
) -> None:
    """Append to a file what one connection brings; the file starts over if it cannot be resumed."""
    start = file.tell()
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    with session.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
        if start and response.status_code == _NOTHING_LEFT:
            return
        response.raise_for_status()
        if start and response.status_code != _RESUMED:
            start = file.seek(0)
            file.truncate()
        left = response.raw.length_remaining or 0
        require_room(Path(file.name).parent, left, f"the rest of {url}")
        with progress(start + left) if progress else contextlib.nullcontext() as bar:
            if bar is not None:
                bar.update(start)
            for piece in response.iter_content(_PIECE):
                file.write(piece)
                if bar is not None:
                    bar.update(len(piece))
