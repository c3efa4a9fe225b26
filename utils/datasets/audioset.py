"""The 527 AudioSet tags: their names, and their texts for tag embeddings."""

import re
from collections.abc import Sequence
from pathlib import Path

from utils.files import reading, tables
from utils.runtime.errors import InputError
from utils.runtime.paths import PROJECT_ROOT

NUM_TAGS = 527
LABELS_CSV = PROJECT_ROOT / "data" / "audioset" / "class_labels_indices.csv"
ONTOLOGY_JSON = PROJECT_ROOT / "data" / "audioset" / "audioset_ontology.json"
ONTOLOGY_URL = "https://raw.githubusercontent.com/audioset/ontology/master/ontology.json"
TAG_INFOS = ("tags", "sounds", "sent_tags", "sent_notags")

_HEADER = ["index", "mid", "display_name"]
_SENTENCE_END = re.compile(r"""[.!?]["')\]]*(?=\s+["'(\[]*[A-Z0-9])""")
# An initial, or i.e., e.g., U.S.: one letter before each full stop. "etc." is not among them:
# before a capital letter it does end a sentence.
_ABBREVIATION = re.compile(
    r"(?<![\w'’])(?:[A-Z]\.|(?:[A-Za-z]\.){2,}|(?:vs|cf|approx|incl|esp)\.)$"
)


def read_labels(csv_path: str | Path = LABELS_CSV) -> list[str]:
    """Read the display names of the AudioSet tags, in index order.

    Raises
    ------
    InputError
        If the file is missing, or is not a table of 527 tags with the columns index, mid and
        display_name.

    Examples
    --------
    >>> len(read_labels()), read_labels()[0]
    (527, 'Speech')

    """
    return [name for _, name in _read_table(csv_path)]


def tag_texts(
    info: str, labels: Sequence[str], ontology_path: str | Path | None = None
) -> list[str]:
    """Write the texts whose sentence embeddings represent AudioSet tags.

    Parameters
    ----------
    info : str
        "tags": the display name. "sounds": "the sound of" and the name, in lower case.
        "sent_notags": the first sentence of the tag's description in the AudioSet ontology, in
        lower case, without parentheses (what they enclose stays). "sent_tags": display name,
        comma, that sentence. Where a description is empty the text is the display name, in lower
        case in "sent_notags".
    labels : sequence of str
        Display names, see `read_labels`. Each gets one text, in the same order.
    ontology_path : str or Path, optional
        The default is data/audioset/audioset_ontology.json. Only needed for descriptions.

    Raises
    ------
    InputError
        If `info` or a label is unknown, or if the ontology is missing, wrong or incomplete.

    """
    if info not in TAG_INFOS:
        raise InputError(
            f"unknown AudioSet texts {info!r}; model.audioset_info must be one of "
            f"{', '.join(TAG_INFOS)} (or none: no tag branch, and no texts)."
        )
    if info == "tags":
        return list(labels)
    if info == "sounds":
        return [f"the sound of {name.lower()}" for name in labels]
    mid_of_name = {name: mid for mid, name in _read_table(LABELS_CSV)}
    descriptions = _read_descriptions(Path(ontology_path or ONTOLOGY_JSON))
    unknown = [name for name in labels if mid_of_name.get(name) not in descriptions]
    if unknown:
        raise InputError(
            f"{len(unknown)} of {len(labels)} labels have no entry in "
            f"{ontology_path or ONTOLOGY_JSON}, the first is {unknown[0]!r}. Take the labels from "
            f"{LABELS_CSV} and the ontology from {ONTOLOGY_URL}."
        )
    texts = []
    for name in labels:
        sentence = _first_sentence(descriptions[mid_of_name[name]])
        sentence = sentence.replace("(", "").replace(")", "").lower()
        if info == "sent_notags":
            texts.append(sentence or name.lower())
        else:
            texts.append(f"{name}, {sentence}" if sentence else name)
    return texts


def _read_table(csv_path: str | Path) -> list[tuple[str, str]]:
    """Read and check the label table: mid and display name of each tag, in index order."""
    rows = tables.read_csv(csv_path)
    source = "The project includes one: data/audioset/class_labels_indices.csv."
    if not rows or rows[0][1] != _HEADER:
        raise InputError(f"{csv_path}, line 1: the header must be {','.join(_HEADER)}. {source}")
    table: list[tuple[str, str]] = []
    for line, cells in rows[1:]:
        if len(cells) != len(_HEADER) or cells[0] != str(len(table)) or not all(cells):
            raise InputError(
                f"{csv_path}, line {line}: {','.join(cells)!r} should be index {len(table)}, a "
                f"mid and a name. {source}"
            )
        table.append((cells[1], cells[2]))
    mids, names = ({row[column] for row in table} for column in (0, 1))
    if not len(table) == len(mids) == len(names) == NUM_TAGS:
        raise InputError(
            f"{csv_path} has {len(table)} tags, {len(mids)} mids and {len(names)} names, and must "
            f"have {NUM_TAGS} different ones. {source}"
        )
    return table


def _read_descriptions(path: Path) -> dict[str, str]:
    """Read the description of each mid in the ontology."""
    if not path.exists():
        raise InputError(
            f"no AudioSet ontology {path}, which has the descriptions of the tags. Download "
            f"{ONTOLOGY_URL} and save it under that name, or set model.audioset_info to tags, "
            "which needs no ontology."
        )
    entries = reading.read_json(path)
    try:
        descriptions = {entry["id"]: entry["description"] for entry in entries}
        intact = all(isinstance(item, str) for pair in descriptions.items() for item in pair)
    except (KeyError, TypeError):
        intact = False
    if not intact:
        raise InputError(
            f"{path} is not the AudioSet ontology: a list of entries with the texts id and "
            f"description. Download it again from {ONTOLOGY_URL}."
        )
    return descriptions


def _first_sentence(text: str) -> str:
    text = " ".join(text.split())
    for end in _SENTENCE_END.finditer(text):
        if not _ABBREVIATION.search(text[: end.start() + 1]):
            return text[: end.end()]
    return text
