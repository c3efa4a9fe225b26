"""One line ─► what it asks for: a description, words, phrases and fields.

::

    rain on a tin roof              a description: meaning and words
    "tin roof"                      names or metadata have these words, one after the other
    rain -wind                      without wind: see `utils.search.negation`
    rain -"field recording"         names and metadata do not have this phrase
    rain duration:<5 -format:mp3    fields: see `utils.search.query_fields`
    rain duration:<5 OR hail        either; OR separates whole alternatives

Only ``OR``, a dash before a word, quotation marks and ``field:`` with its value directly after it
have a meaning. All else is text: ``lo-fi``, ``don't``, ``12:30``, ``title: rain``.
"""

import difflib
import re
from collections.abc import Collection
from dataclasses import dataclass, field

from utils.search.queries import InvalidQuery, check_query
from utils.search.words import split_words

FIELDS = (
    "name", "folder", "tag", "ucs", "duration", "channels", "rate", "format", "date", "loudness",
    "desc",
)  # fmt: skip

_SPACE = re.compile(r"\s*")
_OR = re.compile(r"OR(?!\S)")
_FIELD = re.compile(r"([^\W\d_]+):")
_BARE = re.compile(r"\S+")
_TAG_NAME = re.compile(r"[^\s<>\"]+")
_TAG_LIMIT = re.compile(r"\s*([<>]=?)\s*([0-9.]+%?)")
_QUOTES = {'"': '"', "“": '"“”'}  # and what ends a text that begins with it
_CONTEXT = 60  # characters of a line on either side of a problem


class InvalidLine(InvalidQuery):
    """A query line that cannot be read.

    Attributes
    ----------
    problem : str
        What is wrong, and what is expected.
    column : int
        Where, in characters from 0.

    """

    def __init__(self, line: str, column: int, problem: str) -> None:
        self.problem, self.column = problem, column
        super().__init__(f"{problem}\n{_pointing(line, column)}")


@dataclass(frozen=True)
class Phrase:
    """Words that names or metadata must have, or must not have, one after the other."""

    text: str
    negated: bool = False

    def __str__(self) -> str:
        """Write it as in a line."""
        return f'{"-" * self.negated}"{self.text}"'


@dataclass(frozen=True)
class FieldTerm:
    """A field and its value, which is not checked yet.

    Attributes
    ----------
    name : str
        One of `FIELDS`.
    value : str
        As written, without quotation marks; of a tag, its name.
    limit : str
        Of a tag: ">0.3", or empty.
    negated : bool
    column : int
        Where the value begins in the line.

    """

    name: str
    value: str
    limit: str = ""
    negated: bool = False
    column: int = field(default=0, compare=False)

    def __str__(self) -> str:
        """Write it as in a line."""
        bare = _TAG_NAME if self.name == "tag" else _BARE
        plain = bare.fullmatch(self.value) and '"' not in self.value and self.value[0] not in "“"
        value = self.value if plain else f'"{self.value}"'
        return f"{'-' * self.negated}{self.name}:{value}{self.limit}"


@dataclass(frozen=True)
class Alternative:
    """What a hit must be; at least one of the four is given.

    Attributes
    ----------
    description : str
        All free text.
    without : tuple of str
        Words with a dash.
    phrases : tuple of Phrase
    fields : tuple of FieldTerm

    """

    description: str = ""
    without: tuple[str, ...] = ()
    phrases: tuple[Phrase, ...] = ()
    fields: tuple[FieldTerm, ...] = ()

    def __str__(self) -> str:
        """Write it as a line."""
        text = [self.description] if self.description else []
        negated = [f"-{word}" for word in self.without]
        return " ".join([*text, *negated, *map(str, self.phrases), *map(str, self.fields)])


@dataclass(frozen=True)
class QueryLine:
    """A line that was read; ``parse_line(str(line))`` is the same."""

    alternatives: tuple[Alternative, ...]

    def __str__(self) -> str:
        """Write it as a line."""
        return " OR ".join(map(str, self.alternatives))


def parse_line(line: str) -> QueryLine:
    """Read a query line.

    Raises
    ------
    InvalidQuery
        If it is empty or not UTF-8.
    InvalidLine
        If a quotation mark is not closed, a field is unknown or has no value, or nothing is beside
        an OR.

    Examples
    --------
    >>> (found,) = parse_line("heavy rain -wind duration:<5").alternatives
    >>> found.description, found.without, str(found.fields[0])
    ('heavy rain', ('wind',), 'duration:<5')
    >>> str(parse_line('duration:<5 "tin roof"  rain'))
    'rain "tin roof" duration:<5'

    """
    check_query(line)
    return QueryLine(tuple(_Scanner(line).alternatives()))


class _Scanner:
    """Reads a line from left to right."""

    def __init__(self, line: str) -> None:
        self._line, self._at = line, 0

    def alternatives(self) -> list[Alternative]:
        found = [self._alternative()]
        while self._at < len(self._line):
            place = self._at
            self._at += len("OR")
            found.append(self._alternative())
            for side, beside in (("before", found[-2]), ("after", found[-1])):
                if beside == Alternative():
                    self._refuse(place, f"nothing is {side} OR; quote it, if you search for OR")
        return found

    def _alternative(self) -> Alternative:
        text: list[str] = []
        without: list[str] = []
        phrases: list[Phrase] = []
        fields: list[FieldTerm] = []
        while not self._ends():
            start = self._at
            negated = self._takes_dash()
            if self._here() in _QUOTES:
                phrases.append(Phrase(self._quoted(), negated))
            elif named := self._takes_field_name():
                fields.append(self._field(named, negated))
            else:
                word = self._word()
                if negated and split_words(word):
                    without.append(word)
                else:  # a dash before what is no word, as in "-!", is text
                    text.append(self._line[start : self._at])
        return Alternative(" ".join(text), tuple(without), tuple(phrases), tuple(fields))

    def _ends(self) -> bool:
        """Whether the alternative ends here, after white space."""
        self._at = _SPACE.match(self._line, self._at).end()
        return self._at == len(self._line) or _OR.match(self._line, self._at) is not None

    def _here(self) -> str:
        return self._line[self._at : self._at + 1]

    def _takes_dash(self) -> bool:
        follows = self._line[self._at + 1 : self._at + 2]
        dash = self._here() == "-" and not follows.isspace() and follows not in ("", "-")
        self._at += dash
        return dash

    def _takes_field_name(self) -> str:
        """Return the name of a field whose value follows; empty if there is none here."""
        match = _FIELD.match(self._line, self._at)
        if not match:
            return ""
        name, end = match[1].lower(), match.end()
        if self._line[end : end + 1].strip() == "":  # the end, or a space: "title: rain" is text
            if name in FIELDS:
                self._refuse(end, f"write the value directly after “{match[0]}”")
            return ""
        if name not in FIELDS:
            self._refuse(self._at, f"there is no field {match[1]!r}. {_field_hint(name, FIELDS)}")
        self._at = match.end()
        return name

    def _field(self, name: str, negated: bool) -> FieldTerm:
        column = self._at
        if self._here() in _QUOTES:
            value = self._quoted(followed_by="<>" if name == "tag" else "")
        else:
            pattern = _TAG_NAME if name == "tag" else _BARE
            match = pattern.match(self._line, self._at)
            if not match:
                self._refuse(column, "expected the name of a tag, such as tag:dog>0.3")
            value, self._at = match[0], match.end()
            if (quote := value.find('"')) >= 0:
                self._refuse(column + quote, "quotation marks belong around the whole value")
        limit = ""
        if name == "tag" and (match := _TAG_LIMIT.match(self._line, self._at)):
            limit, self._at = match[1] + match[2], match.end()
        if name == "tag" and self._here() and not self._here().isspace():
            self._refuse(self._at, "expected > or < and a probability, such as tag:dog>0.3")
        return FieldTerm(name, value, limit, negated, column)

    def _quoted(self, followed_by: str = "") -> str:
        """Read a text in quotation marks."""
        start = self._at
        ends = [self._line.find(mark, start + 1) for mark in _QUOTES[self._here()]]
        ends = [end for end in ends if end > 0]
        if not ends:
            self._refuse(start, "this quotation mark is not closed")
        text = self._line[start + 1 : min(ends)]
        self._at = min(ends) + 1
        if not split_words(text):
            self._refuse(start, "expected words between the quotation marks")
        if self._here() and not self._here().isspace() and self._here() not in followed_by:
            self._refuse(self._at, "expected a space after the quotation mark")
        return text

    def _word(self) -> str:
        match = _BARE.match(self._line, self._at)
        if inside := re.search(r'(?<!\d)"', match[0]):  # but 12" is in inches
            self._refuse(
                self._at + inside.start(),
                "a phrase begins with a quotation mark after a space, and ends with another",
            )
        self._at = match.end()
        return match[0]

    def _refuse(self, column: int, problem: str) -> None:
        raise InvalidLine(self._line, column, problem)


def _field_hint(name: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean {close[0]}:? " if close else ""
    return f"{hint}Fields are {', '.join(known)}; write “{name}: …” with a space for text"


def _pointing(line: str, column: int) -> str:
    """Show the part of a line around a column, and a caret below it."""
    start = max(0, column - _CONTEXT)
    before, after = line[start:column], line[column : column + _CONTEXT]
    cut = "…" if start else ""
    more = "…" if column + _CONTEXT < len(line) else ""
    shown, rest = (
        "".join(char if char.isprintable() else " " for char in part) for part in (before, after)
    )
    return f"  {cut}{shown}{rest}{more}\n  {cut and ' '}{' ' * len(shown)}^"
