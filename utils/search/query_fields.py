"""Fields of a query line ─► conditions in SQL on passages `p` and contents `c`.

::

    name:door name:"wood door" name:SC01*         a word or phrase of file names; ``*`` completes it
    folder:foley                                  the same of folders
    desc:gravel                                   the same of the description in the metadata
    tag:dog tag:dog>0.3 tag:"Rain on surface"     a tag's probability in a passage, > 0.5 by default
    ucs:DOORWood ucs:DOOR                         a CatID of UCS, or all of a category
    duration:<5 5..10 1:30 >=2m                   seconds, or with a unit: ms, s, m, h
    channels:2 channels:>2 channels:mono          a number, or mono, stereo, quad
    rate:>=96000 rate:44.1k                       samples per second
    format:flac                                   the beginning of a container's name
    date:2021 2021-03 >=2020-01-01                a year, month or day
    loudness:<-30 -23..-16 -23LUFS                integrated, in LUFS

Numbers take ``<``, ``<=``, ``>``, ``>=`` and ranges (``5..10``, ``5..``, ``..10``). A number alone
is meant as exactly as it is written: ``duration:5`` is 4.5 to 5.5 s, ``duration:5.0`` is 4.95 to
5.05 s. A file without a value has none of the values; so ``-date:2021`` finds it.
"""

import datetime
import re
from collections.abc import Callable, Sequence
from sqlite3 import Connection
from typing import Any, NamedTuple, NoReturn

from utils.runtime.errors import InputError
from utils.search.database import LEAST_PROBABILITY
from utils.search.filters import find_tag
from utils.search.query_line import FieldTerm, InvalidLine
from utils.search.words import folded_words, phrase_match, split_words

_USUAL = 0.5  # least probability of a tag that is asked for without a number

_SIGNS = ("<=", ">=", "<", ">", "=")
_NUMBER = re.compile(r"(\d*)(?:\.(\d+))?\s*([a-z]*)", re.IGNORECASE)
_CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d\d)(?:\.(\d+))?")
_DATE = re.compile(r"(\d{4})(?:-(\d\d))?(?:-(\d\d))?")
_SECONDS = {"": 1, "ms": 0.001, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600}
_HERTZ = {"": 1, "hz": 1, "k": 1000, "khz": 1000}
_LUFS = {"": 1, "lufs": 1, "lkfs": 1, "db": 1}
_MINUS = ("-", "−")
_CHANNELS = {"mono": 1, "stereo": 2, "quad": 4}


class Condition(NamedTuple):
    """A boolean expression of SQL, and the values of its placeholders."""

    sql: str
    values: tuple[Any, ...]

    def negated(self) -> "Condition":
        """Return the opposite, which is true of what has no value."""
        return Condition(f"({self.sql}) IS NOT TRUE", self.values)


def condition_of(term: FieldTerm, *, line: str, tags: Sequence[str]) -> Condition:
    """Turn a field and its value into a condition.

    Parameters
    ----------
    line : str
        The query line, to point at the value if it is invalid.
    tags : sequence of str
        The names of all tags.

    Raises
    ------
    InvalidLine
        If the value is not one of the field's.

    """

    def refuse(problem: str) -> NoReturn:
        raise InvalidLine(line, term.column, problem)

    if term.name == "tag":
        found = _tag(term, tags, refuse)
    else:
        found = _READERS[term.name](term.value, refuse)
    return found.negated() if term.negated else found


def has_phrase(text: str, *, column: str = "") -> Condition:
    """Make the condition that a file of a content has words one after the other.

    `column` is one of the table `words`; by default, the phrase may be in any.
    """
    return Condition(
        "c.content IN (SELECT content FROM words JOIN files ON files.file = words.rowid "
        "WHERE words MATCH ? AND content IS NOT NULL)",
        (phrase_match(text, column=column),),
    )


def select_rows(connection: Connection, conditions: Sequence[Condition]) -> list[int]:
    """List the rows of passages that meet all conditions, in their order."""
    where = " AND ".join(f"({condition.sql})" for condition in conditions) or "TRUE"
    values = [value for condition in conditions for value in condition.values]
    query = f"SELECT row FROM passages AS p JOIN contents AS c USING (content) WHERE {where}"
    return [row for (row,) in connection.execute(f"{query} ORDER BY row", values)]


Refuse = Callable[[str], NoReturn]


def _tag(term: FieldTerm, tags: Sequence[str], refuse: Refuse) -> Condition:
    try:
        number = tags.index(find_tag(term.value, tags))
    except InputError as error:
        refuse(str(error))
    sign, limit = ">", _USUAL
    if term.limit:
        sign = term.limit[: 2 if term.limit[1] == "=" else 1]
        written = term.limit[len(sign) :]
        try:
            limit = float(written.rstrip("%")) / (100 if written.endswith("%") else 1)
        except ValueError:
            refuse(f"expected a probability such as 0.3, not {written!r}")
        if not LEAST_PROBABILITY <= limit <= 1:
            refuse(f"expected a probability from {LEAST_PROBABILITY} to 1, not {written}")
    # Not below a limit is at or above it: the database has no improbable tags.
    above = {">": ">", ">=": ">=", "<": ">=", "<=": ">"}[sign]
    found = Condition(
        f"p.row IN (SELECT row FROM tags WHERE tag = ? AND probability {above} ?)", (number, limit)
    )
    return found if sign[0] == ">" else found.negated()


def _words_in(column: str) -> Callable[[str, Refuse], Condition]:
    def read(value: str, refuse: Refuse) -> Condition:
        if not split_words(value):
            refuse("expected a word, or words in quotation marks")
        return has_phrase(value, column=column)

    return read


def _description(value: str, refuse: Refuse) -> Condition:
    among_all = _words_in("metadata")(value, refuse)  # by the index, so that few texts are read
    words = f" {folded_words(value)}" + ("" if value.rstrip().endswith("*") else " ")
    return Condition(
        f"{among_all.sql} AND instr(' ' || folded_words(c.description) || ' ', ?)",
        (*among_all.values, words),
    )


def _ucs(value: str, refuse: Refuse) -> Condition:
    if not re.fullmatch(r"[A-Za-z0-9]+", value):
        refuse("expected a CatID such as DOORWood, or the beginning of some such as DOOR")
    # A subcategory begins with the one capital letter that a small letter follows.
    return Condition(
        "c.ucs = ? COLLATE NOCASE OR c.ucs GLOB ?", (value, f"{value.upper()}[A-Z0-9][a-z]*")
    )


def _format(value: str, refuse: Refuse) -> Condition:
    if not re.fullmatch(r"[A-Za-z0-9]+", value):
        refuse("expected the name of a format, such as wav, flac or mp3")
    return Condition("',' || c.format LIKE ?", (f"%,{value}%",))


def _quantity(
    column: str, read: Callable[[str], tuple[float, float] | None], expected: str
) -> Callable[[str, Refuse], Condition]:
    """Make the reader of a field of numbers; `read` gives a number and how exact it is, or None."""

    def condition(value: str, refuse: Refuse) -> Condition:
        def number(text: str) -> tuple[float, float]:
            return read(text.strip()) or refuse(f"expected {expected}; not {text.strip()!r}")

        sign, low, high = _comparison(value, refuse)
        if sign == "..":
            ends = [number(end)[0] if end else None for end in (low, high)]
            return _between(column, *ends, refuse=refuse)
        exact, half = number(low)
        if sign in ("", "="):
            return _between(column, exact - half, exact + half, refuse=refuse)
        return Condition(f"{column} {sign} ?", (exact,))

    return condition


def _between(column: str, low: Any, high: Any, *, refuse: Refuse) -> Condition:
    if low is not None and high is not None and low > high:
        refuse("expected the smaller number before the two dots")
    ends = [(f"{column} >= ?", low), (f"{column} <= ?", high)]
    given = [(sql, value) for sql, value in ends if value is not None]
    return Condition(" AND ".join(sql for sql, _ in given), tuple(value for _, value in given))


def _comparison(value: str, refuse: Refuse) -> tuple[str, str, str]:
    """Split ``<5`` into a sign and a number, and ``5..10`` into ".." and two."""
    if ".." in value:
        low, _, high = value.partition("..")
        if not low.strip() and not high.strip():
            refuse("expected a number before or after the two dots")
        return "..", low, high
    sign = next((sign for sign in _SIGNS if value.startswith(sign)), "")
    return sign, value[len(sign) :], ""


def _number(text: str, units: dict[str, float]) -> tuple[float, float] | None:
    """Read a number with a unit, and half a unit of its last digit."""
    match = _NUMBER.fullmatch(text)
    if not match or not (match[1] or match[2]) or match[3].lower() not in units:
        return None
    unit, decimals = units[match[3].lower()], match[2] or ""
    return float(f"{match[1] or 0}.{decimals or 0}") * unit, 0.5 * 10.0 ** -len(decimals) * unit


def _seconds(text: str) -> tuple[float, float] | None:
    if match := _CLOCK.fullmatch(text):
        hours, minutes, seconds, decimals = (part or "" for part in match.groups())
        whole = 3600 * int(hours or 0) + 60 * int(minutes)
        return whole + float(f"{seconds}.{decimals or 0}"), 0.5 * 10.0 ** -len(decimals)
    return _number(text, _SECONDS)


def _lufs(text: str) -> tuple[float, float] | None:
    found = _number(text[1:] if text.startswith((*_MINUS, "+")) else text, _LUFS)
    return found and (-found[0] if text.startswith(_MINUS) else found[0], found[1])


def _channels(text: str) -> tuple[float, float] | None:
    number = _CHANNELS.get(text.lower())
    return (number, 0.0) if number else _number(text, {"": 1})


def _date(value: str, refuse: Refuse) -> Condition:
    """Compare dates as texts: ``2021`` is what begins with it, and before ``2021~``."""

    def ends(text: str) -> tuple[str, str]:
        if not _is_date(text.strip()):
            refuse(f"expected a date such as 2021, 2021-03 or 2021-03-28; not {text.strip()!r}")
        return text.strip(), f"{text.strip()}~"

    sign, low, high = _comparison(value, refuse)
    if sign == "..":
        span = ends(low)[0] if low else None, ends(high)[1] if high else None
        return _between("c.date", *span, refuse=refuse)
    first, last = ends(low)
    if sign in ("", "="):
        return _between("c.date", first, last, refuse=refuse)
    return Condition(f"c.date {sign} ?", (last if sign in ("<=", ">") else first,))


def _is_date(text: str) -> bool:
    match = _DATE.fullmatch(text)
    try:
        return bool(match and datetime.date(*(int(part or 1) for part in match.groups())))
    except ValueError:
        return False


_READERS = {
    "name": _words_in("name"),
    "folder": _words_in("folder"),
    "desc": _description,
    "ucs": _ucs,
    "format": _format,
    "duration": _quantity(
        "c.duration", _seconds, "a duration such as 5, <2.5, 1:30, >=2m or 5..10"
    ),
    "channels": _quantity("c.channels", _channels, "a number such as 2 or >2, mono or stereo"),
    "rate": _quantity(
        "c.rate", lambda text: _number(text, _HERTZ), "a rate such as 48000, >=96k or 44.1k"
    ),
    "date": _date,
    "loudness": _quantity("c.loudness", _lufs, "a loudness in LUFS such as <-30, -23 or -23..-16"),
}
