import io
import json
from pathlib import Path

import pytest

from utils.datasets.audioset import read_labels
from utils.runtime.errors import InputError
from utils.search.answers import Answer, Query, answer
from utils.search.queries import InvalidQuery
from utils.search.query_plan import read_query

LIBRARY = {"files": 3}


class FakeSearcher:
    def search(self, query, **_):
        if query == "雨":
            raise InvalidQuery("it reads no word of '雨'.")
        if query == "broken":
            raise InputError("the index is broken.")
        return []

    def notes_on(self, text):
        return [f"{len(text)} letters"]

    def read_query(self, line):
        return read_query(line, read_labels())


def ask(given, place=""):
    return answer(Query(given, place), FakeSearcher(), top=1, filters=(), moments=1)


def test_a_query_that_cannot_be_read_is_answered_with_its_line():
    found = ask("雨", "queries.txt, line 3: ")
    assert found.error == "queries.txt, line 3: it reads no word of '雨'."
    assert found.status == 2
    assert json.loads(found.as_json(LIBRARY)) == {
        "query": "雨",
        "hits": [],
        "notes": [],
        "error": found.error,
        "library": LIBRARY,
    }
    with pytest.raises(InputError, match="index is broken"):  # which is no fault of the query
        ask("broken")


def test_what_of_a_text_does_not_count_is_noted():
    found = ask("rain")
    assert (found.notes, found.status) == (["4 letters"], 1)
    assert found.as_text(why=False) == "rain\n  note: 4 letters\n  nothing found\n"
    assert json.loads(found.as_json(LIBRARY))["notes"] == ["4 letters"]
    assert ask(Path("rain.wav")).notes == []


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii"])
@pytest.mark.parametrize("text", ["dog 🐕", "caf\udce9", "é\u202e"])
def test_json_is_valid_in_every_encoding(encoding, text, monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="backslashreplace")
    monkeypatch.setattr("sys.stdout", stream)
    print(Answer(Query(text)).as_json(LIBRARY), flush=True)
    assert json.loads(stream.buffer.getvalue().decode(encoding))["query"] == text
