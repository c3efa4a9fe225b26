"""iXML, which recorders and editors write into wavs (ixml.info). Entities are never expanded."""

from xml.parsers import expat

from utils.audio.metadata.gathering import Gathering

# The ends of the paths of elements. Below USER are those of Soundminer and REAPER for UCS, below
# ASWG those of the Audio Standards Working Group for games.
_NAMES = {
    "PROJECT": "project",
    "SCENE": "scene",
    "TAKE": "take",
    "TAPE": "tape",
    "NOTE": "note",
    "TRACK/NAME": "track_name",
    "BEXT/BWF_DESCRIPTION": "description",
    "BEXT/BWF_ORIGINATOR": "originator",
    "BEXT/BWF_ORIGINATOR_REFERENCE": "originator_reference",
    "BEXT/BWF_CODING_HISTORY": "coding_history",
    "LOCATION/LOCATION_NAME": "location",
    "USER": "note",
}
_USER = {
    "TRACKTITLE": "title",
    "CATID": "cat_id",
    "CATEGORYFULL": "category_full",
    "SUBCATEGORY": "subcategory",
    "USERCATEGORY": "user_category",
    "VENDORCATEGORY": "vendor_category",
    "FXNAME": "fx_name",
    "MICPERSPECTIVE": "perspective",
    "RECMEDIUM": "medium",
    "RECTYPE": "medium",
    "NOTES": "note",
    "ORIGINATOR": "originator",
}
_FREE = ("USER", "ASWG")  # their children are texts, whatever their names
_DEEPEST = 100


class _Refused(Exception):
    """The document has something that is not read; the text says what."""


def read_ixml(content: bytes, where: str, found: Gathering) -> None:
    """Add the texts of an iXML document; of a damaged one, those before the damage."""
    try:
        _Reader(found).read(content.rstrip(b"\0 \r\n\t"))
    except _Refused as problem:
        found.note(f"{where}: {problem}")
    except expat.ExpatError as error:
        found.note(f"{where} is not valid XML ({error})")
    except (LookupError, ValueError) as error:  # an encoding that Python does not have
        found.note(f"{where} cannot be read as XML ({error})")


class _Reader:
    def __init__(self, found: Gathering) -> None:
        self._found = found
        self._path: list[str] = []
        self._text: list[str] = []

    def read(self, content: bytes) -> None:
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = _refuse_doctype
        parser.StartElementHandler = self._begin
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text.append
        parser.Parse(content, True)

    def _begin(self, tag: str, _: object) -> None:
        self._add()  # text in front of the first child
        self._path.append(tag.upper())
        if len(self._path) > _DEEPEST:
            raise _Refused(f"elements are nested more than {_DEEPEST} deep; the rest is not read")

    def _end(self, _: str) -> None:
        self._add()
        self._path.pop()

    def _add(self) -> None:
        text = "".join(self._text).strip()
        self._text.clear()
        if text and (name := self._name()):
            self._found.add(name, text)

    def _name(self) -> str | None:
        tag, *above = reversed(self._path)
        if above and above[0] in _FREE:
            return _USER.get(tag, tag.lower())
        return _NAMES.get("/".join(self._path[-2:])) or _NAMES.get(tag)


def _refuse_doctype(*_: object) -> None:
    raise _Refused("a document type, which may define entities, is not read")
