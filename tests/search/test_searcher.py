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
import soundfile

import utils.search
from tests.support import DEMO_CONFIG, load_script, options, read_audio, settings_for
from utils.audio.sound_file import UnusableSound
from utils.runtime.errors import InputError
from utils.search import Searcher, embed_audio, embed_text
from utils.settings.loading import load_config

TEXTS = ["rain on a tin roof", "a dog barks"]


@pytest.fixture(scope="module")
def searcher(trained, sounds):
    index, overrides = sounds.parent / "index", ["precision=fp32"]
    return Searcher.open(trained, sounds, config=DEMO_CONFIG, overrides=overrides, index=index)


def file(searcher, place):
    return searcher.folder / list(searcher.library.sounds().values())[place].paths[0]


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
    files = [file(searcher, place) for place in range(3)]
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
        by_meaning = searcher.search(text, by="meaning")
        assert searcher.search(alone) == by_meaning
        scores = {hit.sound: hit.score for hit in by_meaning}
        assert [scores[number] for number in list(searcher.library.sounds())[:3]] == pytest.approx(
            (vectors @ vector).tolist(), abs=1e-4
        )
    assert searcher.embed_audio([]).shape == (0, texts.shape[1])


@pytest.fixture(scope="module")
def long_sounds(sounds, tmp_path_factory):
    """A folder of a short sound, and one of 100 s that is made of others."""
    folder = tmp_path_factory.mktemp("long") / "sounds"
    folder.mkdir()
    clips = sorted((sounds / "sub").iterdir())
    shutil.copy(clips[0], folder / "short.wav")
    pieces = [read_audio(clip, sample_rate=16_000) for clip in clips]
    soundfile.write(folder / "long.wav", np.resize(np.concatenate(pieces), 1_600_000), 16_000)
    return folder


def test_hits_of_a_text_have_moments_inside_of_the_sound(long_sounds, trained, tmp_path):
    place = {"config": DEMO_CONFIG, "index": tmp_path / "index"}
    searcher = Searcher.open(trained, long_sounds, **place)
    for hit in searcher.search("a dog barks", moments=3):
        assert 1 <= len(hit.moments) <= 3
        scores = [moment.score for moment in hit.moments]
        assert scores == sorted(scores, reverse=True)
        for moment in hit.moments:
            assert 0 <= moment.start < moment.end <= hit.duration
    assert [len(hit.moments) for hit in searcher.search("a dog barks")] == [1, 1]
    assert [hit.moments for hit in searcher.search("a dog barks", moments=0)] == [[], []]
    example = searcher.search(long_sounds / "short.wav")
    assert [hit.moments for hit in example] == [[], []]


def test_without_moments_no_cells_are_kept(long_sounds, trained, tmp_path):
    settings = [f"output_path={tmp_path}", "search.moments=False"]
    searcher = Searcher.open(trained, long_sounds, config=DEMO_CONFIG, overrides=settings)
    assert [hit.moments for hit in searcher.search("a dog barks")] == [[], []]
    assert searcher.index.name.endswith("-moments-false")
    assert not (searcher.index / "grid").exists()


def test_a_sound_of_the_library_is_its_own_best_match_without_being_tagged(
    long_sounds, trained, tmp_path, monkeypatch
):
    searcher = Searcher.open(
        trained, long_sounds, config=DEMO_CONFIG, index=long_sounds.parent / "index"
    )
    assert searcher.library.sounds()[1].duration == 100
    embedded = searcher.embed_passages(long_sounds / "long.wav")
    monkeypatch.setattr(searcher, "tag", None)
    for name in ("long.wav", "short.wav"):
        copy = tmp_path / f"copy of {name}"
        shutil.copy(long_sounds / name, copy)
        best, *_ = searcher.search(copy)
        assert (best.name, best.score) == (name, 1.0)
    vectors, number = searcher.embed_example(long_sounds / "long.wav")
    assert (vectors.shape, number) == ((5, searcher.network.text_norm.normalized_shape[0]), 1)
    np.testing.assert_allclose(vectors, embedded, atol=1e-5)
    with pytest.raises(UnusableSound, match=r"gone\.wav is missing"):
        searcher.search(long_sounds / "gone.wav")


def test_words_of_names_count_and_are_found_alone(trained, sounds, tmp_path):
    folder = tmp_path / "sounds"
    shutil.copytree(sounds / "sub", folder)
    first, second, *_ = sorted(folder.iterdir())
    first.rename(folder / "ANMLMisc_Scene-012 雷雨_X.wav")
    second.rename(folder / "scene 013.wav")
    searcher = Searcher.open(trained, folder, config=DEMO_CONFIG, index=tmp_path / "index")
    for line in ('"scene 012"', "name:scene -013", "雷雨", "ucs:ANML"):
        assert [hit.name[:8] for hit in searcher.search(line)] == ["ANMLMisc"], line
    (hit,) = searcher.search("scene 013", by="words", top=1)
    assert hit.name == "scene 013.wav"
    assert hit.words == hit.score > 0
    assert searcher.search("ucs:ANML")[0].ucs.cat_id == "ANMLMisc"
    with pytest.raises(InputError, match="reads no word"):
        searcher.search("雷雨", by="meaning")
    with pytest.raises(InputError, match="expected"):
        searcher.search("duration:long")


def test_what_an_index_has_is_searched_before_the_folder_is_looked_through(
    trained, sounds, tmp_path
):
    folder, place = tmp_path / "sounds", {"config": DEMO_CONFIG, "index": tmp_path / "index"}
    shutil.copytree(sounds / "sub", folder)
    first, *_, last = sorted(folder.iterdir())
    away = last.rename(tmp_path / last.name)
    searcher = Searcher.open(trained, folder, **place, known_first=True)
    assert searcher.is_current  # there was no index
    away.rename(last)
    first.unlink()
    searcher = Searcher.open(trained, folder, **place, known_first=True)
    assert not searcher.is_current
    names = {hit.name for hit in searcher.search("a dog barks", top=100)}
    assert (first.name in names, last.name in names) == (True, False)
    searcher.update()
    assert searcher.is_current
    names = {hit.name for hit in searcher.search("a dog barks", top=100)}
    assert (first.name in names, last.name in names) == (False, True)


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
    with pytest.raises(InputError, match=r"no finished run in .*demo\. Search with --model tags"):
        Searcher.open(config=settings)


def test_the_room_is_imported_when_it_is_needed():
    code = "import sys, utils.search.command_line; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    assert {"Hit", "Searcher", "embed_audio", "embed_text"} <= set(dir(utils.search))
    assert not hasattr(utils.search, "nothing")


@pytest.fixture(scope="module")
def odd_sounds(small_demo, tmp_path_factory):
    """Two clips of the demo, one of them with inverted right channel, silence and a quiet clip."""
    folder = tmp_path_factory.mktemp("odd") / "sounds"
    folder.mkdir()
    one, other, *_ = sorted((small_demo / "clotho/evaluation").glob("*.wav"))
    for name, path in (("one", one), ("other", other)):
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        mono = samples.mean(axis=1)
        mono *= 0.5 / np.abs(mono).max()
        soundfile.write(folder / f"{name}.wav", mono, rate, subtype="FLOAT")
    soundfile.write(folder / "inverted.wav", np.stack([mono, -mono], axis=1), rate, subtype="FLOAT")
    soundfile.write(folder / "quiet.wav", 0.015 * mono, rate, subtype="FLOAT")
    soundfile.write(folder / "silence.wav", np.zeros(12 * rate), rate)
    return folder


NOTES = {
    "inverted.wav": "is tagged from channel 1 of 2, because its channels cancel in the mean",
    "silence.wav": "is digital silence",
}


def test_odd_sounds_are_found_as_they_sound_and_noted(trained, odd_sounds, capsys):
    index = odd_sounds.parent / "index"
    searcher = Searcher.open(trained, odd_sounds, config=DEMO_CONFIG, index=index)
    hits = {hit.name: hit for hit in searcher.search("birds are singing")}
    assert list(hits)[-1] == "silence.wav"
    assert hits["inverted.wav"].score == pytest.approx(hits["other.wav"].score, abs=1e-4)
    quiet = hits.pop("quiet.wav").notes
    assert quiet == "is very quiet (peak -42 dBFS)"
    assert {name: hit.notes for name, hit in hits.items() if hit.notes} == NOTES
    assert searcher.library.noted == NOTES | {"quiet.wav": quiet}
    assert [tag.tag for tag in hits["silence.wav"].tags] == ["Silence"]
    assert searcher.search("silence")[0].name == "silence.wav"

    place = ["--audio", str(odd_sounds), "--model", str(trained), "--index", str(index)]
    load_script("07_search").main([*options([]), *place, "--json", "birds"])
    printed, errors = capsys.readouterr()
    answer = {hit["paths"][0]: hit["notes"] for hit in json.loads(printed)["hits"]}
    assert answer["silence.wav"] == "is digital silence"
    assert "searched, but odd:" in errors
    assert f"inverted.wav {NOTES['inverted.wav']}\n" in errors


def test_settings_of_a_search_have_an_index_of_their_own(trained, odd_sounds, tmp_path):
    settings = settings_for(tmp_path)
    scores, indexes = {}, []
    for changed in ([], ["search.mono=mean"], ["search.normalise=True"]):
        config = load_config(DEMO_CONFIG, [*settings, *changed])
        searcher = Searcher.open(trained, odd_sounds, config=config)
        scores[searcher.index.name] = {hit.name: hit.score for hit in searcher.search("birds")}
        indexes.append(searcher.index)
        assert searcher.changes.added == 5
    usual, mean, normalised = scores.values()
    assert mean["inverted.wav"] != pytest.approx(mean["other.wav"], abs=0.01)
    assert normalised["quiet.wav"] == pytest.approx(normalised["other.wav"], abs=0.01)
    assert usual["quiet.wav"] != pytest.approx(usual["other.wav"], abs=0.01)
    assert [name.partition("fp32")[2] for name in scores] == ["", "-mono-mean", "-normalise-true"]
    with pytest.raises(InputError, match="precision or settings of `search`"):
        Searcher.open(trained, odd_sounds, config=config, index=indexes[0])


def test_near_duplicates_are_folded_under_the_best_hit_unless_they_are_to_be_shown(
    trained, sounds, tmp_path
):
    folder, place = tmp_path / "sounds", {"config": DEMO_CONFIG, "index": tmp_path / "index"}
    shutil.copytree(sounds / "sub", folder)
    first, *_ = sorted(folder.iterdir())
    samples, rate = soundfile.read(first)
    soundfile.write(folder / "scene quiet.flac", 0.3 * samples, rate)
    searcher = Searcher.open(trained, folder, **place)
    same, count = {first.name, "scene quiet.flac"}, len(list(folder.iterdir()))
    searches = {
        "a text": "a dog barks",
        "an example": first,
        "a vector": searcher.embed_text(["a dog barks"])[0],
        "words too": "scene",
    }
    for kind, query in searches.items():
        shown = searcher.search(query, top=count, duplicates="show")
        best = next(hit.name for hit in shown if hit.name in same)
        folded = searcher.search(query, top=count)
        (group,) = [hit for hit in folded if hit.duplicates]
        assert (group.name, set(group.duplicates)) == (best, same - {best}), kind
        assert [hit.name for hit in folded] == [
            hit.name for hit in shown if hit.name not in group.duplicates
        ], kind
        assert [hit.rank for hit in folded] == list(range(1, count)), kind
        assert len(searcher.search(query, top=2)) == 2, kind
