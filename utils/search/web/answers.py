"""JSON on both sides: what requests bring, within limits, and what they are answered."""

import json
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse

from utils.search.web.guard import Refusal

_MAX_BYTES = 4_000_000


class AsciiJson(JSONResponse):
    """JSON in ASCII: file names, and so messages, may contain bytes that are not UTF-8."""

    def render(self, content: Any) -> bytes:
        """Write the body of an answer."""
        return json.dumps(content, allow_nan=False).encode()


async def read_object(request: Request) -> dict[str, Any]:
    """Read the JSON object that a request brings.

    Raises
    ------
    Refusal
        413 if it is larger than 4 MB, 400 if it is no object.

    """
    body = bytearray()
    try:
        async for block in request.stream():
            body += block
            if len(body) > _MAX_BYTES:
                raise Refusal(413, f"The request is larger than {_MAX_BYTES // 10**6} MB.")
    except ClientDisconnect:
        raise Refusal(400, "The request was interrupted.") from None
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise Refusal(400, "Send a JSON object.")
    return content
