"""HTML from Python, in which no text can be taken for markup."""

import html
from collections.abc import Mapping, Sequence


class Html(str):
    """Text that is HTML already; any other text is escaped where it enters a page."""

    __slots__ = ()


def escape(value: object) -> Html:
    """Write a value as HTML text; what is HTML already stays as it is.

    What UTF-8 cannot hold, such as half a surrogate pair from a damaged file name, becomes a
    question mark, and control characters that HTML forbids the replacement character.
    """
    if isinstance(value, Html):
        return value
    text = str(value).encode("utf-8", "replace").decode("utf-8")
    allowed = "".join(c if (c >= " " and c != "\x7f") or c in "\t\n" else "\ufffd" for c in text)
    return Html(html.escape(allowed))


def element(tag: str, *children: object, **attributes: object) -> Html:
    """Write an element.

    Parameters
    ----------
    tag : str
    *children : object
        Put in one after the other; all but `Html` is escaped. None is left out.
    **attributes : object
        Escaped; underscores stand for hyphens, one at the end is dropped (``class_``), and None is
        left out.

    """
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(f"{value}")}"'
        for name, value in attributes.items()
        if value is not None
    )
    return Html(f"<{tag}{written}>{join(*children)}</{tag}>")


def join(*children: object) -> Html:
    """Put pieces one after the other; all but `Html` is escaped, and None is left out."""
    return Html("".join(escape(child) for child in children if child is not None))


def section(heading: str, *children: object, note: str | None = None) -> Html:
    """Write a section with a heading and, below it, a note."""
    told = None if note is None else element("p", note, class_="note")
    return element("section", element("h2", heading), told, *children)


def table(header: Sequence[str], rows: Sequence[Html]) -> Html:
    """Write a table from the names of its columns and its rows."""
    head = element("tr", *(element("th", name, scope="col") for name in header))
    return element("table", element("thead", head), element("tbody", *rows))


def facts(entries: Mapping[str, str]) -> Html:
    """Write a list of names and values."""
    pairs = (join(element("dt", name), element("dd", value)) for name, value in entries.items())
    return element("dl", *pairs, class_="facts")
