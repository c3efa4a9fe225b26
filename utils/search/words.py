"""Words of names and metadata: splitting them, and finding them in the table `words` (FTS5).

What is indexed and what is looked for are split in the same way, so that ``DOORWood_SC012`` is
found by "door wood", "sc012" and "SC-012".
"""

import itertools
import re
import unicodedata
from collections.abc import Sequence
from pathlib import PurePath
from sqlite3 import Connection

from utils.audio.sniffing import ENDINGS

MOST_FILES = 2000  # that are ranked by their words
_COMMON = 10_000  # files: a word of more tells little, and ranking them takes long
_NO_EVIDENCE = 1e-6  # nats

# Of one word in a name, a folder and metadata: a name is chosen, metadata may be a page long.
_WEIGHTS = (10.0, 3.0, 1.0)
_MOST_FORMS = 200  # of the words of a query
_SHORTEST_STEM = 3  # letters that remain of a word without its ending
_TOKEN = re.compile(r"[^\W_]+")
_RUN = re.compile(r"[^\W\d_]+|\d+")
# fmt: off
_STOP_WORDS = frozenset((
    "a", "about", "after", "again", "all", "an", "and", "any", "are", "as", "at", "be", "been",
    "before", "being", "both", "but", "by", "can", "each", "few", "for", "from", "had", "has",
    "have", "he", "her", "his", "i", "in", "into", "is", "it", "its", "just", "more", "most", "my",
    "of", "off", "on", "once", "only", "or", "other", "our", "out", "over", "own", "same", "she",
    "so", "some", "such", "than", "that", "the", "their", "them", "then", "there", "these", "they",
    "this", "those", "through", "to", "too", "under", "until", "up", "very", "was", "we", "were",
    "what", "when", "where", "which", "while", "who", "will", "with", "you", "your",
))
# fmt: on


def split_words(text: str) -> list[str]:
    """Split a text at changes of case, between letters and digits, and at all other characters.

    Examples
    --------
    >>> split_words("DOORWood_lo-fi, SC012.wav")
    ['DOOR', 'Wood', 'lo', 'fi', 'SC', '012', 'wav']

    """
    runs = _RUN.findall(unicodedata.normalize("NFC", text))
    return [word for run in runs for word in _split_at_case(run)]


def split_name(path: str | PurePath) -> str:
    """Write the words of a file's name and folders, in lower case, to be found by any of them.

    After the words in their order come the parts of the name that were split into several, in one
    piece each. The ending is left out if it is one of sounds.

    Parameters
    ----------
    path : str or PurePath
        Relative to the folder that is searched.

    Examples
    --------
    >>> split_name("Dogs/DOGBark_BigDog-Angry02_JD.wav")
    'dogs dog bark big dog angry 02 jd dogbark bigdog angry02'

    """
    path = PurePath(path)
    if path.suffix.lower() in ENDINGS:
        path = path.with_suffix("")
    words, whole = [], []
    for token in _TOKEN.findall(unicodedata.normalize("NFC", str(path))):
        found = split_words(token)
        words += found
        if len(found) > 1:
            whole.append(token)
    return " ".join([*words, *whole]).lower()


def words_of(text: str) -> str:
    """Write the words of a text for the index."""
    return " ".join(split_words(text))


def folded_words(text: str | None) -> str:
    """Write the words of a text without accents and case, as FTS5 compares them."""
    plain = unicodedata.normalize("NFKD", words_of(text or ""))
    return "".join(char for char in plain if not unicodedata.combining(char)).casefold()


def phrase_match(text: str, *, column: str = "") -> str:
    """Write the FTS5 expression for words one after the other.

    A ``*`` at the end of `text` lets the last word begin so. `column` is ``name``, ``folder`` or
    ``metadata``; by default, the phrase may be in any one of them.

    Examples
    --------
    >>> phrase_match("heavy rain")
    '"heavy rain"'
    >>> phrase_match("SC01*", column="name")
    'name : "SC 01" *'

    """
    among = f"{column} : " if column else ""
    return f"{among}{_quoted(split_words(text))}{' *' if text.rstrip().endswith('*') else ''}"


def word_matches(text: str) -> list[str]:
    """Write an FTS5 expression for each word of a description, and for each form of it.

    Words such as "the" are left out. A word may have the ending of a plural, of "-ing" or "-ed",
    or none. What is one word in the text, such as ``lo-fi`` or ``SC012``, is a phrase. ``foot*`` is
    any word that begins so.

    Examples
    --------
    >>> word_matches("the dogs of SC012")
    ['"dogs"', '"dog"', '"SC 012"']

    """
    found: dict[str, None] = {}
    for word in text.split():
        parts = split_words(word)
        if len(parts) > 1 or (parts and word.endswith("*")):
            found[phrase_match(word)] = None
        elif parts and parts[0].lower() not in _STOP_WORDS:
            found.update((_quoted([form]), None) for form in word_forms(parts[0]))
    return [*itertools.islice(found, _MOST_FORMS)]


def word_forms(word: str) -> list[str]:
    """List a word and what it may be without its ending, or with the ending of a plural.

    Examples
    --------
    >>> word_forms("barking"), word_forms("glass"), word_forms("bell")
    (['barking', 'bark', 'barke'], ['glass'], ['bell', 'bells'])

    """
    lower = word.lower()
    forms = [lower]
    if lower.endswith("ing"):
        forms += [lower[:-3], f"{lower[:-3]}e"]
    elif lower.endswith("ed"):
        forms += [lower[:-2], lower[:-1]]
    elif lower.endswith(("ches", "shes", "sses", "xes")):
        forms += [lower[:-2]]
    elif lower.endswith("s") and not lower.endswith(("ss", "us", "is")):
        forms += [lower[:-1]]
    elif lower.isalpha() and not lower.endswith("s"):
        forms += [f"{lower}s"]
    return forms[:1] + [form for form in forms[1:] if len(form) >= _SHORTEST_STEM]


def find_contents(connection: Connection, matches: Sequence[str]) -> dict[int, float]:
    """Rank the contents of files by their words.

    Parameters
    ----------
    matches : sequence of str
        FTS5 expressions, any of which may match.

    Returns
    -------
    dict of int to float
        By content: how much evidence its words are, in nats. It is BM25, of a content with several
        files that of the best, in which a rare word in a name counts the logarithm of how rare it
        is. The best `MOST_FILES` files are ranked. Words that more than `_COMMON` files have are no
        evidence; if all are, some of these files are found, with next to none.

    """
    common = [match for match in matches if _is_common(connection, match)]
    rare = [match for match in matches if match not in common]
    # A word in a name counts 1.96 times its rarity in BM25: ten times as often as in a text.
    ranked = (
        "SELECT rowid AS file, -bm25(words, ?, ?, ?) / 2 AS score FROM words WHERE words MATCH ? "
        "ORDER BY score DESC LIMIT ?"
    )
    found = _by_content(connection, ranked, _WEIGHTS, rare)
    if not found:
        unranked = "SELECT rowid AS file, ? AS score FROM words WHERE words MATCH ? LIMIT ?"
        found = _by_content(connection, unranked, [_NO_EVIDENCE], common)
    return found


def _by_content(
    connection: Connection, files: str, numbers: Sequence[float], matches: Sequence[str]
) -> dict[int, float]:
    """Take the best score of each content among the files of a query."""
    if not matches:
        return {}
    found = connection.execute(
        f"SELECT content, max(score) FROM ({files}) JOIN files USING (file) "
        "WHERE content IS NOT NULL GROUP BY content",
        (*numbers, " OR ".join(matches), MOST_FILES),
    )
    return {content: max(score, _NO_EVIDENCE) for content, score in found}


def _is_common(connection: Connection, match: str) -> bool:
    some = "SELECT 1 FROM words WHERE words MATCH ? LIMIT ?"
    count = connection.execute(f"SELECT count(*) FROM ({some})", (match, _COMMON + 1))
    return count.fetchone()[0] > _COMMON


def _quoted(words: Sequence[str]) -> str:
    """Write words as a phrase of FTS5; they have no quotation marks, because they are split."""
    return f'"{" ".join(words)}"'


def _split_at_case(run: str) -> list[str]:
    if run.islower() or run.isupper() or run.istitle() or not run.isalpha():
        return [run]
    starts = [0]
    for at in range(1, len(run)):
        before, here, after = run[at - 1], run[at], run[at + 1 : at + 2]
        if here.isupper() and (before.islower() or (before.isupper() and after.islower())):
            starts.append(at)
    return [run[a:b] for a, b in zip(starts, [*starts[1:], None], strict=True)]
