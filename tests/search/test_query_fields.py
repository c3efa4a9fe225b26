import sqlite3

import pytest

from utils.search.database import add_functions
from utils.search.query_fields import condition_of, has_phrase, select_rows
from utils.search.query_line import InvalidLine, parse_line
from utils.search.words import split_words

TAGS = ["Dog", "Rain", "Rain on surface"]
SCHEMA = """
CREATE TABLE contents (content INTEGER PRIMARY KEY, duration REAL, rate INTEGER, channels INTEGER,
  format TEXT, date TEXT, ucs TEXT, description TEXT,
  loudness REAL);
CREATE TABLE files (file INTEGER PRIMARY KEY, content INTEGER);
CREATE TABLE passages (row INTEGER PRIMARY KEY, content INTEGER);
CREATE TABLE tags (tag INTEGER, row INTEGER, probability REAL, PRIMARY KEY (tag, row)) WITHOUT ROWID;
CREATE VIRTUAL TABLE words USING fts5(name, folder, metadata,
  tokenize = "unicode61 remove_diacritics 2");
"""  # noqa: E501
SOUNDS = {
    1: (4.5, 44_100, 1, "WAV", "2021-03-28", "DOORWood", "A heavy_wooden Café door", -23.4),
    2: (90.0, 96_000, 2, "FLAC", "2021", "DOORCreak", "door, heavy; wooden", -31.0),
    3: (5.2, 48_000, 6, "mov,mp4,m4a", "2020-12-31", "DORSOther", None, 0.5),
    4: (600.0, 48_000, 2, "mp3", None, None, None, None),
}
NAMES = {1: "Wood Door 01.wav", 2: "SC012 creak.flac", 3: "rain.m4a", 4: "rain and dog.mp3"}
FOLDERS = {1: "Foley/Doors/", 2: "Foley/Doors/", 3: "Ambience/", 4: ""}
PROBABILITIES = [(0, 40, 0.9), (0, 41, 0.3), (1, 3, 0.5), (1, 40, 0.7), (2, 3, 0.2)]


@pytest.fixture
def connection():
    """Four contents with one passage, whose row has their number, and a second of the last."""
    database = sqlite3.connect(":memory:")
    add_functions(database)
    database.executescript(SCHEMA)
    for content, values in SOUNDS.items():
        database.execute(
            "INSERT INTO contents VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (content, *values)
        )
        texts = [NAMES[content], FOLDERS[content], values[-2] or ""]
        texts = [" ".join(split_words(text)) for text in texts]
        database.execute("INSERT INTO words(rowid, name, folder, metadata) VALUES (?, ?, ?, ?)",
                         (content, *texts))  # fmt: skip
        database.execute("INSERT INTO files VALUES (?, ?)", (content, content))
    database.execute("INSERT INTO files VALUES (9, NULL)")
    rows = [(1, 1), (2, 2), (3, 3), (40, 4), (41, 4)]
    database.executemany("INSERT INTO passages VALUES (?, ?)", rows)
    database.executemany("INSERT INTO tags VALUES (?, ?, ?)", PROBABILITIES)
    return database


def rows_of(connection, line):
    (alternative,) = parse_line(line).alternatives
    conditions = [condition_of(term, line=line, tags=TAGS) for term in alternative.fields]
    return select_rows(connection, conditions)


@pytest.mark.parametrize(
    ("line", "rows"),
    [
        ("name:door", [1]),
        ('name:"wood door"', [1]),
        ('name:"door wood"', []),
        ("name:sc012", [2]),
        ("name:SC01*", [2]),
        ("-name:rain", [1, 2]),
        ("folder:foley/doors", [1, 2]),
        ("folder:door", []),
        ("desc:wooden", [1, 2]),
        ('desc:"heavy wooden"', [1, 2]),
        ('desc:"wooden cafe"', [1]),
        ("desc:woo*", [1, 2]),
        ("desc:wood", []),
        ("-desc:wooden", [3, 40, 41]),
        ("tag:dog", [40]),
        ("tag:DOG>0.2", [40, 41]),
        ("tag:dog>=90%", [40]),
        ("tag:dog>90%", []),
        ("tag:dog<0.3", [1, 2, 3]),
        ("tag:dog<=0.3", [1, 2, 3, 41]),
        ("-tag:dog", [1, 2, 3, 41]),
        ('tag:rain tag:"rain on surface"<.5', [40]),
        ("ucs:doorwood", [1]),
        ("ucs:door", [1, 2]),
        ("ucs:DO", []),
        ("duration:<5", [1]),
        ("duration:5", [1, 3]),
        ("duration:5.2", [3]),
        ("duration:4..6", [1, 3]),
        ("duration:1:30", [2]),
        ("duration:>=1.5m", [2, 40, 41]),
        ("duration:0:10:00", [40, 41]),
        ("duration:..5", [1]),
        ("duration:>4500ms", [2, 3, 40, 41]),
        ("channels:2", [2, 40, 41]),
        ("channels:mono", [1]),
        ("channels:>2", [3]),
        ("rate:>=96k", [2]),
        ("rate:44.1kHz", [1]),
        ("rate:48000", [3, 40, 41]),
        ("format:wav", [1]),
        ("format:m4a", [3]),
        ("-format:MP3", [1, 2, 3]),
        ("date:2021", [1, 2]),
        ("date:2021-03", [1]),
        ("date:>=2021", [1, 2]),
        ("date:<2021", [3]),
        ("date:<=2020", [3]),
        ("date:>2020-12-31", [1, 2]),
        ("date:2020-12..2021-03", [1, 2, 3]),
        ("date:2020-12-31", [3]),
        ("-date:2021", [3, 40, 41]),
        ("loudness:<-30", [2]),
        ("loudness:>=-31", [1, 2, 3]),
        ("loudness:-23", [1]),
        ("loudness:-23.0", []),
        ("loudness:−23.4LUFS", [1]),
        ("loudness:-31..-23", [1, 2]),
        ("loudness:-23..", [3]),
        ("loudness:..-30", [2]),
        ("loudness:>+0.2", [3]),
        ('loudness:"-32 .. -30 LUFS"', [2]),
        ("-loudness:>-40", [40, 41]),
        ("name:rain duration:>1m -tag:dog", [41]),
    ],
)
def test_a_field_selects_rows(connection, line, rows):
    assert rows_of(connection, line) == rows


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("tag:dgo", r"AudioSet has no tag 'dgo'. Did you mean 'Dog'\?"),
        ("tag:dog>1.5", "expected a probability from 0.05 to 1, not 1.5"),
        ("tag:dog>0.01", "from 0.05 to 1"),
        ("tag:dog>0.3.1", "expected a probability such as 0.3, not '0.3.1'"),
        ("duration:soon", "expected a duration such as 5, <2.5, 1:30, >=2m or 5..10; not 'soon'"),
        ("duration:..", "expected a number before or after the two dots"),
        ("duration:10..5", "expected the smaller number before the two dots"),
        ("duration:1:5", "expected a duration"),
        ("channels:two", "expected a number such as 2"),
        ("rate:fast", "expected a rate such as 48000"),
        ("format:%", "expected the name of a format"),
        ("ucs:*", "expected a CatID such as DOORWood"),
        ("date:2021-13", "expected a date such as 2021, 2021-03 or 2021-03-28; not '2021-13'"),
        ("date:yesterday", "expected a date"),
        ("date:2021-02-30", "expected a date"),
        ("name:-", "expected a word"),
        ("loudness:loud", "expected a loudness in LUFS such as <-30, -23 or -23..-16; not 'loud'"),
        ("loudness:--3", "expected a loudness"),
        ("loudness:-16..-23", "expected the smaller number before the two dots"),
    ],
)
def test_an_invalid_value_is_pointed_at(connection, line, message):
    with pytest.raises(InvalidLine, match=message) as error:
        rows_of(connection, f"rain {line}")
    assert error.value.column == len("rain ") + line.index(":") + 1


def test_values_are_never_part_of_the_query(connection):
    for text in ("x' OR '1'='1", "a; DROP TABLE files", "%", "?", '"'):
        assert select_rows(connection, [has_phrase(text)]) == []


def test_without_conditions_all_rows_are_selected(connection):
    assert select_rows(connection, []) == [1, 2, 3, 40, 41]


def test_a_content_is_excluded_by_any_of_its_files(connection):
    connection.execute("INSERT INTO files VALUES (5, 1)")
    connection.execute("INSERT INTO words(rowid, name) VALUES (5, 'backup')")
    assert select_rows(connection, [has_phrase("backup")]) == [1]
    assert select_rows(connection, [has_phrase("backup").negated()]) == [2, 3, 40, 41]
