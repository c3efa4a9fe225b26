import json
import re

import pytest

from utils.datasets import audioset
from utils.runtime.errors import InputError


@pytest.fixture(scope="module")
def labels():
    return audioset.read_labels()


@pytest.fixture
def ontology(tmp_path, labels):
    """Write an ontology that describes some tags and has the others with an empty description."""

    def write(**descriptions):
        rows = (line.split(",", 2) for line in audioset.LABELS_CSV.read_text().splitlines()[1:])
        entries = [
            {"id": mid, "name": "-", "description": descriptions.get(name.strip('"'), "")}
            for _, mid, name in rows
        ]
        path = tmp_path / "ontology.json"
        # Reversed, and with a class that is not a tag: entries are found by mid, not by place.
        path.write_text(json.dumps([*reversed(entries), {"id": "/m/x", "description": "Else."}]))
        return path

    return write


def test_read_labels_gives_527_names_in_order(labels):
    assert len(labels) == len(set(labels)) == 527
    assert labels[0] == "Speech"
    assert labels[1] == "Male speech, man speaking"
    assert labels[526] == "Field recording"
    assert sum("," in name for name in labels) == 75


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("display_name", "name"), "line 1: the header must be index,mid"),
        (lambda text: text.replace("\n5,", "\n6,"), r"line 7: .* should be index 5"),
        (lambda text: text.rsplit("\n", 2)[0], "526 tags, 526 mids and 526 names, and must have"),
        (lambda text: text.replace("/m/02zsn", "/m/05zppz"), "527 tags, 526 mids"),
        (lambda text: text.replace('"Speech"', '""'), "line 2: "),
        (lambda text: "", "line 1: the header"),
    ],
)
def test_read_labels_refuses_another_table(tmp_path, change, message):
    path = tmp_path / "labels.csv"
    path.write_text(change(audioset.LABELS_CSV.read_text()))
    with pytest.raises(InputError, match=message):
        audioset.read_labels(path)


def test_read_labels_says_what_is_missing(tmp_path):
    with pytest.raises(InputError, match=r"cannot read .*none\.csv"):
        audioset.read_labels(tmp_path / "none.csv")


def test_tags_are_the_names_and_need_no_ontology(tmp_path, labels):
    assert audioset.tag_texts("tags", labels, tmp_path / "missing") == labels


@pytest.mark.parametrize(
    ("description", "sentence"),
    [
        ("One sentence. Another.", "one sentence."),
        ("A child, i.e. a young human. Next.", "a child, i.e. a young human."),
        ("A slap (e.g., a hand). Next.", "a slap e.g., a hand."),
        ("Also e.g. Americans do. Next.", "also e.g. americans do."),
        ("Seas, lakes, etc., by wind. Next.", "seas, lakes, etc., by wind."),
        ("Joy, anger, etc. Verbal content is absent.", "joy, anger, etc."),
        ("By Laurens and John M. Hanert. Next.", "by laurens and john m. hanert."),
        ("Cats vs. Dogs. Next.", "cats vs. dogs."),
        ("It can't. Next.", "it can't."),
        ("From 0.5 to 2.5 s. Next.", "from 0.5 to 2.5 s."),
        ("About 3.5 Hz.  Not for hearts.", "about 3.5 hz."),
        ('Rhyming speech ("rapping"). Next.', 'rhyming speech "rapping".'),
        ('Called a "pick." "Next" one.', 'called a "pick."'),
        ("Is it? Yes! Next.", "is it?"),
        ("  Spaces\n and  lines ", "spaces and lines"),
        ("No stop at the end", "no stop at the end"),
    ],
)
def test_sentences_end_where_they_should(ontology, description, sentence):
    path = ontology(Speech=description)
    assert audioset.tag_texts("sent_notags", ["Speech"], path) == [sentence]
    assert audioset.tag_texts("sent_tags", ["Speech"], path) == [f"Speech, {sentence}"]


def test_empty_description_falls_back_on_the_name(ontology):
    path = ontology(Speech="Words.")
    names = ["Bark", "Speech"]
    assert audioset.tag_texts("sent_tags", names, path) == ["Bark", "Speech, words."]
    assert audioset.tag_texts("sent_notags", names, path) == ["bark", "words."]


def test_missing_ontology_says_where_to_get_it(tmp_path, labels):
    path = tmp_path / "audioset_ontology.json"
    message = rf"no AudioSet ontology {re.escape(str(path))}.*https://.*tags"
    with pytest.raises(InputError, match=message):
        audioset.tag_texts("sent_tags", labels, path)


def test_wrong_ontology_is_refused(tmp_path, labels):
    path = tmp_path / "o.json"
    for content in ("{}", "[1]", '[{"id": "/m/09x0r"}]', '[{"id": 1, "description": "x"}]', "3"):
        path.write_text(content)
        with pytest.raises(InputError, match=r"o\.json"):
            audioset.tag_texts("sent_tags", labels, path)


def test_unknown_names_are_refused(ontology):
    with pytest.raises(InputError, match="unknown AudioSet texts 'none'"):
        audioset.tag_texts("none", ["Speech"])
    with pytest.raises(InputError, match=r"1 of 2 labels have no entry.*'Speach'"):
        audioset.tag_texts("sent_tags", ["Speech", "Speach"], ontology())


def test_real_ontology(shared_data, labels):
    path = shared_data / "audioset" / "audioset_ontology.json"
    texts = audioset.tag_texts("sent_tags", labels, path)
    sentences = audioset.tag_texts("sent_notags", labels, path)
    assert texts == [f"{label}, {text}" for label, text in zip(labels, sentences, strict=True)]
    assert all(sentence.endswith(".") and len(sentence) > 15 for sentence in sentences)
    assert not any("(" in sentence or "  " in sentence for sentence in sentences)
    assert texts[3] == (
        "Child speech, kid speaking, speech uttered by a human child, i.e. a human whose voice "
        "does not yet resemble that of an adult."
    )
    assert sentences[157].endswith(
        "laurens hammond and john m. hanert in which sliding drawbars create a variety of sounds."
    )
    modulated = "a sound that is modulated in short, regular bursts at approximately 1 hz."
    assert sentences[505] == modulated
    # The original system's own list of these texts has 65 565 characters: it breaks one sentence
    # off at "i.e." (60 characters less) and keeps two double spaces.
    assert len("\n".join(texts) + "\n") == 65565 + 60 - 2
