"""Names of files and folders ─► words."""

import functools
import re
import unicodedata
from pathlib import PurePath

from utils.audio.sniffing import ENDINGS

# Of the kinds of characters, see `_kind`: what is between separators, and the words in it. In
# "DOGBark" the last capital begins a word.
_TOKEN = re.compile(r"[Uld]+")
_WORD = re.compile(r"U+(?=Ul)|U?l+|U+|d+")


def split_name(path: str | PurePath) -> str:
    """Write the words of a file's name and folders, in lower case, to be found by any of them.

    Words end at separators (all but letters, digits and accents), where small letters become
    capitals or letters digits, and before the last of several capitals if a small letter follows
    it. After the words in their order come the parts of the name that were split into several, in
    one piece each. The ending is left out if it is one of sounds.

    Parameters
    ----------
    path : str or PurePath
        Relative to the folder that is searched.

    Examples
    --------
    >>> split_name("Dogs/DOGBark_BigDog-Angry02_JD.wav")
    'dogs dog bark big dog angry 02 jd dogbark bigdog angry02'
    >>> split_name("UFOLanding.v1.5")
    'ufo landing v 1 5 ufolanding v1'

    """
    path = PurePath(path)
    if path.suffix.lower() in ENDINGS:
        path = path.with_suffix("")
    text = unicodedata.normalize("NFC", str(path))
    kinds = "".join(map(_kind, text))
    words, whole = [], []
    for token in _TOKEN.finditer(kinds):
        found = [text[slice(*word.span())] for word in _WORD.finditer(kinds, *token.span())]
        words += found
        if len(found) > 1:
            whole.append(text[slice(*token.span())])
    return " ".join([*words, *whole]).lower()


@functools.cache
def _kind(character: str) -> str:
    """Return d for a digit, U for a capital, a space for a separator, l for all else."""
    category = unicodedata.category(character)
    if category == "Nd":
        return "d"
    if category in ("Lu", "Lt"):
        return "U"
    return " " if category[0] in "PSZC" else "l"
