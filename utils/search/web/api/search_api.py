"""The operations of the library and of searches."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import anyio
from anyio import to_thread
from starlette.requests import ClientDisconnect, Request

from utils.search.filters import parse_filter
from utils.search.sorting import parse_order
from utils.search.web.api.answers import (
    About,
    ClipAnswer,
    MomentsAnswer,
    SearchAnswer,
    UpdateState,
)
from utils.search.web.api.inputs import MomentsGiven, SearchGiven, Searching, SearchSent
from utils.search.web.api.operations import Operation
from utils.search.web.guard import Refusal
from utils.search.web.service import Service

# Sounds in which moments are found: leaves processors and threads for searches.
_FOUND_AT_ONCE = 2


def search_operations(service: Service, *, is_local: bool) -> list[Operation]:
    """List the operations; `is_local` says whether users may know places on the server's disk."""
    do = _Handlers(service, is_local=is_local)
    moments, clips = "/sounds/{sound}/moments", (408, 413, 415)
    audio = "application/octet-stream"
    return [
        Operation("GET", "/library", do.about),
        Operation("GET", "/search", do.search, errors=(404, 409, 410)),
        Operation("POST", "/search", do.search_by, errors=(404, 409, 410)),
        Operation("GET", moments, do.moments, errors=(404, 409), limiter=do.finding),
        Operation("POST", "/clips", do.receive_clip, errors=clips, receives=audio),
        Operation("GET", "/update", do.update_state),
        Operation("POST", "/update", do.start_update, status=202, errors=(409,)),
    ]


class _Handlers:
    def __init__(self, service: Service, *, is_local: bool) -> None:
        self._service, self._is_local = service, is_local
        self.finding = anyio.CapacityLimiter(_FOUND_AT_ONCE)

    def about(self) -> About:
        """Describe the library, the tags and the limits."""
        about = self._service.about()
        if not self._is_local:
            del about["place"]  # tells others about the server's disk
        return about

    async def search(self, given: SearchGiven) -> SearchAnswer:
        """Search by a query line, a clip or a sound of the library."""
        return await self._search(given)

    async def search_by(self, sent: SearchSent) -> SearchAnswer:
        """Search by a query line, a clip, a sound of the library, a vector or several vectors.

        A vector is searched by as that of a text; several are those of the passages of a sound.
        """
        if sent.vector is not None:
            return await self._search(sent, [sent.vector], as_text=True, model=sent.model)
        return await self._search(sent, sent.vectors or [], model=sent.model)

    def moments(self, given: MomentsGiven) -> MomentsAnswer:
        """Find where a text is heard in a sound."""
        return self._service.moments(
            text=given.q,
            library=given.library,
            sound=given.sound,
            at=given.at,
            count=given.count,
        )

    async def receive_clip(self, request: Request) -> ClipAnswer:
        """Send a clip to search by: the bytes of a sound file."""
        try:
            return await self._service.clips.receive(request.stream())
        except ClientDisconnect:
            raise Refusal(400, "The upload of the clip was interrupted.") from None

    def update_state(self) -> UpdateState:
        """Tell whether the folder is being looked through, and how far."""
        return self._service.updates.state

    def start_update(self) -> UpdateState:
        """Look through the folder for new sounds."""
        if not self._service.updates.start():
            raise Refusal(409, "An update is already running.")
        return self._service.updates.state

    async def _search(
        self, wanted: Searching, vectors: Sequence[Sequence[float]] = (), **how: Any
    ) -> SearchAnswer:
        find = partial(
            self._service.search,
            text=wanted.q,
            clip=wanted.clip,
            like=wanted.like,
            start=wanted.start,
            library=wanted.library,
            filters=[parse_filter(one, self._service.tags) for one in wanted.tag],
            by=wanted.by,
            sort=parse_order(wanted.sort),
            duplicates=wanted.duplicates,
            top=wanted.top,
            vectors=vectors,
            **how,
            moments=wanted.moments,
        )
        limiter = self.finding if wanted.moments else None
        return await to_thread.run_sync(find, limiter=limiter)
