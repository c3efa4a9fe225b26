import dataclasses
import doctest
import importlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import utils.search
from tests.support import DEMO_CONFIG, load_script, options, settings_for
from utils.audio.sound_file import UnusableSound
from utils.runtime.errors import InputError
from utils.search import Searcher, embed_audio, embed_text
from utils.settings.loading import load_config

TEXTS = ["rain on a tin roof", "a dog barks"]


@pytest.fixture(scope="module")
def searcher(trained, sounds):
    index, overrides = sounds.parent / "index", ["precision=fp32"]
    return Searcher.open(trained, sounds, config=DEMO_CONFIG, overrides=overrides, index=index)


def file(searcher, sound):
    return searcher.folder / searcher.library.sounds[sound].paths[0]


@pytest.mark.parametrize("name", ["utils.search", "utils.search.embedder", "utils.search.searcher"])
def test_the_examples_in_docstrings_are_true(name, trained, sounds, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("utils.search.searcher._index_folder", lambda *_: sounds.parent / "index")
    Path("my_model").symlink_to(trained.parent)
    Path("my_sounds").symlink_to(sounds)
    for copy in ("like_this.wav", "rain.wav", "dog.flac"):
        shutil.copy(min(sounds.glob("*.wav")), copy)
    results = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert results.attempted > 0
    assert results.failed == 0


def test_searching_in_python_finds_what_the_script_finds(searcher, trained, sounds, capsys):
    place = ["--audio", str(sounds), "--model", str(trained), "--index", str(searcher.index)]
    clip = file(searcher, 3)
    arguments = ["--json", "--top", "3", "--tag", "Music < 0.9", "--like", str(clip), *TEXTS]
    load_script("07_search").main([*options(["precision=fp32"]), *place, *arguments])
    answers = [json.loads(line)["hits"] for line in capsys.readouterr().out.splitlines()]
    for query, expected in zip([clip, *TEXTS], answers, strict=True):
        hits = searcher.search(query, top=3, filters=["Music < 0.9"])
        found = json.loads(json.dumps([dataclasses.asdict(hit) for hit in hits]))
        assert found == expected
    assert hits[0].name in repr(hits)


def test_opening_a_searcher_prints_nothing(trained, sounds, tmp_path, capfd):
    Searcher.open(str(trained), str(sounds), config=str(DEMO_CONFIG), index=str(tmp_path / "index"))
    assert capfd.readouterr() == ("", "")


def test_embeddings_of_texts_and_sounds_are_those_of_the_search(searcher, trained, small_demo):
    config = load_config(DEMO_CONFIG, settings_for(small_demo))
    files = [file(searcher, number) for number in range(3)]
    texts = embed_text(TEXTS, model=trained, config=config)
    vectors = embed_audio(files, model=trained, config=config)
    np.testing.assert_array_equal(texts, searcher.embed_text(TEXTS))
    np.testing.assert_array_equal(vectors, searcher.embed_audio(list(map(str, files))))
    assert texts.dtype == vectors.dtype == np.float32
    assert texts.shape[1] == vectors.shape[1]
    for unit in (texts, vectors):
        np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, atol=1e-6)
    for text, vector in zip(TEXTS, texts, strict=True):
        (alone,) = searcher.embed_text([text])  # its batch, and so its padding, is another
        np.testing.assert_allclose(vector, alone, atol=1e-5)
        assert searcher.search(alone) == searcher.search(text)
        scores = {hit.sound: hit.score for hit in searcher.search(text)}
        assert [scores[number] for number in range(3)] == pytest.approx(
            (vectors @ vector).tolist(), abs=1e-4
        )
    assert searcher.embed_audio([]).shape == (0, texts.shape[1])


def test_what_cannot_be_embedded_or_searched_for_is_refused(searcher, sounds):
    with pytest.raises(UnusableSound, match=r"gone\.wav is missing"):
        searcher.embed_audio([file(searcher, 0), "gone.wav"])
    with pytest.raises(UnusableSound, match=r"broken\.flac cannot be read as sound"):
        searcher.search(sounds / "broken.flac")
    with pytest.raises(InputError, match="the query is empty"):
        searcher.search(" ")
    for text in ("雷雨声", "🐕", "."):
        with pytest.raises(InputError, match="the sentence model reads no word of"):
            searcher.search(text)
        with pytest.raises(InputError, match="the sentence model reads no word of"):
            searcher.embed_text(["rain", text])
    with pytest.raises(InputError, match="AudioSet has no tag 'Dgo'"):
        searcher.search("a dog", filters=["Dgo"])
    for embed, single in ((searcher.embed_text, "a dog"), (searcher.embed_audio, "a.wav")):
        with pytest.raises(TypeError, match="give a list of"):
            embed(single)


def test_without_a_model_the_error_says_what_to_do(tmp_path):
    settings = load_config(DEMO_CONFIG, [f"output_path={tmp_path}"])
    with pytest.raises(InputError, match=r"no finished run in .*demo\. Train first"):
        Searcher.open(config=settings)


def test_the_room_is_imported_when_it_is_needed():
    code = "import sys, utils.search.command_line; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    assert {"Hit", "Searcher", "embed_audio", "embed_text"} <= set(dir(utils.search))
    assert not hasattr(utils.search, "nothing")
