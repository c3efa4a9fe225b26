"""The operations that send sounds."""

import anyio
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from utils.search.web.api.inputs import AudioGiven, OfSound
from utils.search.web.api.operations import Operation
from utils.search.web.busy import Bounded, most_at_once
from utils.search.web.delivery import Delivery, send_file
from utils.search.web.service import Service

# Pictures: leaves processors and threads for searches.
_DRAWN_AT_ONCE = 2
_GONE = (404, 409, 410)


def sound_operations(service: Service) -> list[Operation]:
    """List the operations."""
    do = _Handlers(service)
    one = "/sounds/{sound}"
    at_once = most_at_once()
    limited = {
        "limiter": anyio.CapacityLimiter(at_once),
        "middleware": (Middleware(Bounded, at_once=at_once),),
    }
    audio = {"media": ("audio/*",), "also": (206, 304), "errors": (*_GONE, 413, 416, 507)}
    file = {"media": ("application/octet-stream",), "also": (206,), "errors": (*_GONE, 416)}
    return [
        Operation("GET", f"{one}/audio", do.audio, **audio, **limited),
        Operation("GET", f"{one}/file", do.original, **file, **limited),
        Operation(
            "GET",
            f"{one}/spectrogram.png",
            do.picture,
            media=("image/png",),
            errors=_GONE,
            limiter=anyio.CapacityLimiter(_DRAWN_AT_ONCE),
        ),
    ]


class _Handlers:
    def __init__(self, service: Service) -> None:
        self._service = service
        self._delivery = Delivery(safe_mono=service.safe_mono)

    def audio(self, given: AudioGiven, request: Request) -> Response:
        """Send a sound as browsers play it: as it is, or as a wav file.

        Ranges are answered with 206, and If-None-Match with 304.
        """
        file, name = self._service.open_sound(given.library, given.sound)
        return self._delivery.respond(file, name, request.headers, decode=given.decode)

    def original(self, given: OfSound) -> Response:
        """Send the file of a sound as it is."""
        return send_file(*self._service.open_sound(given.library, given.sound))

    def picture(self, given: OfSound) -> Response:
        """Draw the spectrogram of a sound."""
        png = self._service.picture(given.library, given.sound)
        headers = {"cache-control": "private, max-age=600"}
        return Response(png, media_type="image/png", headers=headers)
