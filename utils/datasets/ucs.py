"""The Universal Category System: file names that tell a category, and categories for tags.

Source: T. Nielsen and J. Drury, "UCS File Naming Convention", and the list of categories, version
8.2.1 (universalcategorysystem.com); see data/ucs/README.md.
"""

import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from utils.datasets.audioset import read_labels
from utils.files import tables
from utils.runtime.errors import InputError
from utils.runtime.paths import PROJECT_ROOT

CATEGORIES_CSV = PROJECT_ROOT / "data/ucs/categories.csv"
AUDIOSET_CSV = PROJECT_ROOT / "data/ucs/audioset.csv"
_SOURCE = "It is part of the project: restore data/ucs from its repository."
_BLOCKS = 4  # of a complete name


class UcsCategory(NamedTuple):
    """A category of the UCS; category and subcategory are in capitals, as in the list."""

    cat_id: str
    category: str
    subcategory: str


class UcsName(NamedTuple):
    """What a file name says by the UCS; what it lacks is empty.

    Attributes
    ----------
    cat_id, category, subcategory : str
        See `UcsCategory`.
    user_category : str
        What follows the CatID after a hyphen.
    vendor_category : str
        The part of `fx_name` before its first hyphen.
    fx_name : str
        The title, with its vendor category.
    creator_id, source_id : str
        Who made the sound, for which project or library.
    user_data : str
        Anything else.

    """

    cat_id: str
    category: str
    subcategory: str
    user_category: str = ""
    vendor_category: str = ""
    fx_name: str = ""
    creator_id: str = ""
    source_id: str = ""
    user_data: str = ""


class UcsSuggestion(NamedTuple):
    """A category for a sound, and how probable it is."""

    cat_id: str
    category: str
    subcategory: str
    probability: float


@functools.cache
def read_categories() -> dict[str, UcsCategory]:
    """Read the categories by CatID, in the order of the list.

    Raises
    ------
    InputError
        If the list is missing or invalid.

    Examples
    --------
    >>> len(read_categories()), read_categories()["DOORWood"]
    (753, UcsCategory(cat_id='DOORWood', category='DOORS', subcategory='WOOD'))

    """
    rows = _read_table(CATEGORIES_CSV, ("cat_id", "category", "subcategory"))
    return {cells[0]: UcsCategory(*cells) for cells in rows}


def parse_ucs_name(stem: str) -> UcsName | None:
    """Read a file name without its ending, CatID_FXName_CreatorID_SourceID_UserData.

    The CatID may be all of it. Case counts, as the convention asks. CatIDs without small letters,
    such as RAW and TEST, are words that other names begin with, too: these need all four blocks.

    Returns
    -------
    UcsName or None
        None if the name does not follow the convention.

    Examples
    --------
    >>> name = parse_ucs_name("GUNAuto-EXT_UZI 9mm-Rapid Fire_TN_NONE_416-DualMono")
    >>> name.category, name.subcategory, name.user_category, name.vendor_category
    ('GUNS', 'AUTOMATIC', 'EXT', 'UZI 9mm')
    >>> name.fx_name, name.creator_id, name.source_id, name.user_data
    ('UZI 9mm-Rapid Fire', 'TN', 'NONE', '416-DualMono')
    >>> parse_ucs_name("gunauto_uzi") is parse_ucs_name("RAW_take 3") is None
    True

    """
    blocks = stem.split("_", _BLOCKS)
    cat_id, _, user_category = blocks[0].partition("-")
    category = read_categories().get(cat_id)
    if category is None or (cat_id.isupper() and len(blocks) < _BLOCKS):
        return None
    fx_name, creator_id, source_id, user_data = [*blocks[1:], "", "", "", ""][:_BLOCKS]
    vendor_category = fx_name.partition("-")[0] if "-" in fx_name else ""
    return UcsName(
        *category, user_category, vendor_category, fx_name, creator_id, source_id, user_data
    )


def suggest_ucs(tag_probabilities: ArrayLike) -> UcsSuggestion:
    """Suggest a category for a sound by its tags.

    Each tag t with probability p_t speaks for one category, with a weight w_t: how surely a sound
    with that tag belongs there (`data/ucs/audioset.csv`). A category's probability is a noisy or,
    1 - Π (1 - w_t p_t) over its tags, as if they were independent.

    Parameters
    ----------
    tag_probabilities : array-like, shape (527,)
        In the order of the AudioSet tags.

    Returns
    -------
    UcsSuggestion
        The most probable category; of several, the first in the table.

    """
    weights, columns, cat_ids = _tags()
    missing = np.log1p(-np.clip(weights * np.asarray(tag_probabilities, float), 0, 1 - 1e-12))
    probabilities = -np.expm1(np.bincount(columns, missing, len(cat_ids)))
    best = int(probabilities.argmax())
    return UcsSuggestion(*read_categories()[cat_ids[best]], float(probabilities[best]))


@functools.cache
def _tags() -> tuple[NDArray[np.float64], NDArray[np.int64], list[str]]:
    """Read the weight of each tag, shape (527,), the number of its category, and their CatIDs.

    A tag that speaks for no category has the weight 0.
    """
    rows = _read_table(AUDIOSET_CSV, ("tag", "cat_id", "weight"))
    cat_ids = list(dict.fromkeys(cat_id for _, cat_id, _ in rows))
    numbers = {cat_id: number for number, cat_id in enumerate(cat_ids)}
    labels = read_labels()
    if unknown := [row for row in rows if row[0] not in labels or row[1] not in read_categories()]:
        raise InputError(f"{AUDIOSET_CSV} has no tag or no CatID in {unknown[0]}. {_SOURCE}")
    weights, columns = np.zeros(len(labels)), np.zeros(len(labels), np.int64)
    for tag, cat_id, weight in rows:
        weights[labels.index(tag)], columns[labels.index(tag)] = float(weight), numbers[cat_id]
    return weights, columns, cat_ids


def _read_table(path: Path, header: tuple[str, ...]) -> list[list[str]]:
    rows = [cells for _, cells in tables.read_csv(path)]
    if not rows or any(len(cells) != len(header) for cells in rows) or tuple(rows[0]) != header:
        raise InputError(f"{path} must have the columns {', '.join(header)}. {_SOURCE}")
    return rows[1:]
