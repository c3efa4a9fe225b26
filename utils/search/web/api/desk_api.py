"""The operations of collections and exports."""

from starlette.responses import Response

from utils.search.web.api.answers import Added, Collected, CollectionAnswer, CollectionList, Removed
from utils.search.web.api.inputs import ExportSent, ItemsSent, Named, OfCollection, PicksSent
from utils.search.web.api.operations import Operation
from utils.search.web.delivery import attachment
from utils.search.web.desk import Desk

_TYPES = {
    "csv": "text/csv",
    "json": "application/json",
    "m3u8": "application/vnd.apple.mpegurl",
    "edl": "text/plain",
    "reaper": "text/csv",
}


def desk_operations(desk: Desk, *, is_local: bool) -> list[Operation]:
    """List the operations; `is_local` says whether users may know places on the server's disk."""
    do = _Handlers(desk, is_local=is_local)
    one = "/collections/{collection}"
    media = tuple(dict.fromkeys(_TYPES.values()))
    return [
        Operation("GET", "/collections", do.list_collections),
        Operation("POST", "/collections", do.create_collection, status=201, errors=(409,)),
        Operation("GET", one, do.show_collection, errors=(404,)),
        Operation("PATCH", one, do.rename_collection, errors=(404, 409)),
        Operation("DELETE", one, do.delete_collection, status=204, errors=(404,)),
        Operation("POST", f"{one}/items", do.add_items, errors=(404, 409)),
        Operation("POST", f"{one}/removals", do.remove_items, errors=(404,)),
        Operation("POST", "/exports", do.export, errors=(404, 409), media=media),
    ]


class _Handlers:
    def __init__(self, desk: Desk, *, is_local: bool) -> None:
        self._desk, self._is_local = desk, is_local

    def list_collections(self) -> CollectionList:
        """List the collections."""
        return {"collections": self._desk.all()}

    def create_collection(self, sent: Named) -> Collected:
        """Make a collection."""
        return self._desk.create(sent.name)

    def show_collection(self, given: OfCollection) -> CollectionAnswer:
        """Return a collection with its items."""
        return self._desk.show(given.collection)

    def rename_collection(self, given: OfCollection, sent: Named) -> Collected:
        """Rename a collection."""
        return self._desk.rename(given.collection, sent.name)

    def delete_collection(self, given: OfCollection) -> None:
        """Delete a collection; the sounds stay."""
        self._desk.delete(given.collection)

    def add_items(self, given: OfCollection, sent: PicksSent) -> Added:
        """Add sounds, and parts of sounds, to a collection."""
        picks = [one.pick() for one in sent.picks]
        added = self._desk.add(given.collection, picks, sent.library)
        return {"added": added, "given": len(picks)}

    def remove_items(self, given: OfCollection, sent: ItemsSent) -> Removed:
        """Remove items from a collection."""
        return {"removed": self._desk.remove(given.collection, sent.items)}

    def export(self, sent: ExportSent) -> Response:
        """Write sounds, or a collection, as a file.

        The headers X-Exported and X-Left-Out count what is in it, and what is missing.
        """
        content, name, exported = self._desk.export(
            sent.format,
            picks=[one.pick() for one in sent.picks],
            library=sent.library,
            collection=sent.collection,
            whole=sent.whole,
            fps=sent.fps,
            absolute=self._is_local,
        )
        counts = {"x-exported": str(exported.count), "x-left-out": str(len(exported.left_out))}
        headers = {**attachment(name), **counts}
        return Response(content, headers=headers, media_type=_TYPES[sent.format])
