import io
import json
import re
import shutil
from pathlib import Path

import pytest
import soundfile

from tests.support import load_script, options, settings_for
from utils.datasets.splits import load_captions
from utils.runtime.errors import InputError


@pytest.fixture
def search(trained, sounds, capsys):
    """Run the script; returns its status, standard output and standard error.

    A file of the folder is broken, so that the best status is 3.
    """
    index = sounds.parent / "index"

    def run(*arguments):
        fixed = ["--audio", str(sounds), "--model", str(trained), "--index", str(index)]
        capsys.readouterr()
        status = load_script("07_search").main([*fixed, *arguments])
        return status, *capsys.readouterr()

    return run


def test_captions_find_their_sounds(search, small_demo):
    split = load_captions(small_demo / "processed", "evaluation")
    status, printed, errors = search("--json", "--top", "3", *split.captions)
    assert status == 3
    answers = [json.loads(line) for line in printed.splitlines()]
    assert [answer["query"] for answer in answers] == split.captions
    ranks = []
    for answer, clip in zip(answers, split.clip_of_caption, strict=True):
        paths = [path for hit in answer["hits"] for path in hit["paths"]]
        assert len(answer["hits"]) == 3
        ranks.append(f"sub/{split.clip_names[clip]}" in paths)
        for hit in answer["hits"]:
            parts = hit["projection"] + hit["tag_branch"] + hit["words"]
            assert parts == pytest.approx(hit["score"], abs=1e-5)
    assert sum(ranks) > 0.7 * len(ranks)
    assert "10 sounds in" in errors
    assert "1 duplicate;" in errors
    counts = {"files": 11, "sounds": 10, "duplicates": 1, "other": {".txt": 2, "hidden": 1}}
    assert answers[0]["library"] == {**counts, "unusable": {"cannot be read as sound": 1}}
    assert "1 file cannot be used: 1 cannot be read as sound; skipped:\n  - broken.flac" in errors
    assert "3 other files: 2 .txt, 1 hidden; skipped (--list-skipped: which)" in errors
    assert "only knows the demo's synthetic sounds" in errors


def test_all_that_is_skipped_is_listed(search, sounds):
    _, _, errors = search("rain", "--list-skipped")
    assert "skipped:\n  - .hidden.flac (hidden)\n  - notes.TXT (.txt)\n  - read me.txt (" in errors
    (place,) = [line for line in errors.splitlines() if line.startswith("all of them are in ")]
    listed = Path(place.removeprefix("all of them are in ")).read_text()
    assert listed.startswith("step,file,reason\nsearch,broken.flac,cannot be read as sound (")


def test_ten_unusable_files_are_named_and_the_others_counted(search, sounds, tmp_path):
    folder = tmp_path / "sounds"
    shutil.copytree(sounds / "sub", folder)
    for number in range(130):
        (folder / f"bad {number:03}.wav").write_bytes(b"%d" % number)
    place = ["--audio", str(folder), "--index", str(tmp_path / "index")]
    status, _, errors = search("rain", *place)
    assert status == 3
    assert "130 files cannot be used: 130 cannot be read as sound; skipped:\n" in errors
    assert "  - bad 009.wav cannot be read as sound" in errors
    assert "  ... and 120 more\n" in errors
    rows = (tmp_path / "index/failed_files.csv").read_text().splitlines()
    assert len(rows) == 131
    assert "bad 129.wav" in search("rain", *place, "--list-skipped")[2]
    for path in folder.glob("bad *"):
        path.unlink()
    status, _, errors = search("rain", *place)
    assert (status, "cannot be used" in errors) == (0, False)
    assert not (tmp_path / "index/failed_files.csv").exists()


def test_queries_that_are_not_read_do_not_stop_the_others(search, tmp_path):
    path = tmp_path / "queries.txt"
    path.write_bytes("\ufeffrain\n雷雨声\n\n.\ncaf".encode() + b"\xe9\n" + "a dog 狗叫".encode())
    status, printed, errors = search("--queries", str(path), "--json")
    assert status == 2
    rain, thunder, stop, cafe, dog = map(json.loads, printed.splitlines())
    assert len(rain["hits"]) == len(dog["hits"]) == 10
    assert rain["notes"] == []
    assert dog["notes"] == ["not read by the sentence model, and left out: '狗叫'"]
    for number, answer in ((2, thunder), (4, stop), (5, cafe)):
        assert answer["hits"] == []
        assert answer["error"].startswith(f"{path}, line {number}: ")
        assert f"error: {answer['error']}" in errors
    assert "the sentence model reads no word of '雷雨声'" in thunder["error"]
    assert "is not UTF-8" in cafe["error"]
    status, printed, errors = search("🐕", "rain")
    assert (status, printed.startswith("rain\n  1. ")) == (2, True)
    assert "error: the sentence model reads no word of '🐕'. Describe" in errors


def test_answers_are_printed_and_nothing_is_tagged_again(search):
    search("rain")
    _, printed, errors = search("rain", "a dog")
    assert "new or changed" not in errors
    assert printed.startswith("rain\n  1.  0.")
    assert "\na dog\n  1.  0." in printed
    assert "\033" not in printed
    assert "also " in search("rain", "--top", "10")[1]
    assert "learned projection" in search("rain", "--why")[1]
    status, printed, _ = search("rain", "--tag", "Bagpipes > 0.99")
    assert (status, "nothing found" in printed) == (1, True)


def test_hits_are_sorted_and_say_how_loud_they_are(search):
    def hits(*arguments):
        return json.loads(search("--json", *arguments)[1])["hits"]

    best, longest = hits("rain", "--top", "4"), hits("rain", "--top", "4", "--sort", "-duration")
    assert sorted(hit["sound"] for hit in best) == sorted(hit["sound"] for hit in longest)
    assert [hit["rank"] for hit in longest] == [1, 2, 3, 4]
    durations = [hit["duration"] for hit in longest]
    assert durations == sorted(durations, reverse=True)
    all_of_them = hits("duration:>0", "--sort", "loudness")
    levels = [hit["loudness"] for hit in all_of_them]
    assert (len(levels), levels) == (10, sorted(levels))
    quietest = hits("duration:>0", "--sort", "loudness", "--top", "2")
    assert [hit["loudness"] for hit in quietest] == levels[:2]
    assert hits(f"loudness:<{levels[1] + 0.001}", "--sort=loudness") == quietest
    printed = search("rain", "--top", "4", "--sort", "name", "--why")[1]
    assert "  note: the 4 best by score, sorted by name\n" in printed
    assert " LUFS\n" in printed


def test_a_sound_finds_itself(search, sounds):
    clip = sorted((sounds / "sub").iterdir())[3]
    _, printed, _ = search("--like", str(clip), "--json")
    best = json.loads(printed)["hits"][0]
    assert best["paths"] == [f"sub/{clip.name}"]
    assert best["score"] == pytest.approx(1, abs=1e-3)
    with pytest.raises(InputError, match=r"broken\.flac cannot be read as sound"):
        search("--like", str(sounds / "broken.flac"))


def test_queries_come_from_a_file_or_a_pipe(search, tmp_path, monkeypatch):
    (tmp_path / "queries.txt").write_text("rain\n\n  \na dog barks\n")
    _, printed, _ = search("--queries", str(tmp_path / "queries.txt"), "--json")
    assert [json.loads(line)["query"] for line in printed.splitlines()] == ["rain", "a dog barks"]
    monkeypatch.setattr("sys.stdin", io.StringIO("thunder\n\nwind\n"))
    _, printed, _ = search("--json")
    assert [json.loads(line)["query"] for line in printed.splitlines()] == ["thunder", "wind"]


def test_the_prompt_stays_open_until_an_empty_line(search, monkeypatch):
    typed = iter(["rain", "a dog", ""])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda prompt: next(typed))
    _, printed, _ = search("--json")
    assert len(printed.splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rain", "--top", "0"], "--top 0: give 1 or more"),
        (["rain", "--sort", "-size"], "sort='-size': sort by score, name, duration, date, loud"),
        (["rain", "--tag", "Dgo"], "AudioSet has no tag 'Dgo'. Did you mean 'Dog'"),
        (["rain", "--audio", "/nowhere"], r"no folder /nowhere\. Give the folder of your sounds"),
        (["rain", "--model", "/nowhere.pt"], r"no checkpoint /nowhere\.pt"),
        (["--queries", "/nowhere.txt"], r"cannot read /nowhere\.txt"),
        (["--queries", "/dev/null"], r"--queries /dev/null: the file is empty"),
        (["rain", " "], "the query is empty: describe a sound"),
        (["caf\udce9"], r"the query 'caf.udce9' is not UTF-8"),
        (["--like", "/nowhere.wav"], r"/nowhere\.wav is missing"),
        (["--like", __file__], r"test_search_script\.py cannot be read as sound"),
    ],
)
def test_invalid_arguments_are_refused_before_a_sound_is_tagged(
    search, arguments, message, tmp_path
):
    with pytest.raises(InputError, match=message):
        search(*arguments, "--index", str(tmp_path / "index"))
    assert not (tmp_path / "index").exists()


def test_tags_alone_need_no_trained_model(sounds, small_demo, tmp_path, capsys):
    split = load_captions(small_demo / "processed", "evaluation")
    settings = options(settings_for(small_demo, outputs=tmp_path))
    place = ["--audio", str(sounds), "--index", str(sounds.parent / "index"), "--model", "tags"]
    sound = min((sounds / "sub").iterdir())
    asked = ["--like", str(sound), *split.captions]
    load_script("07_search").main([*settings, *place, "--json", "--top", "3", *asked])
    printed, errors = capsys.readouterr()
    (best, *_), *answers = [json.loads(line)["hits"] for line in printed.splitlines()]
    assert best["paths"][0].endswith(sound.name) or len(best["paths"]) > 1
    assert best["score"] == pytest.approx(1, abs=1e-3)
    found = []
    for hits, clip in zip(answers, split.clip_of_caption, strict=True):
        found.append(any(f"sub/{split.clip_names[clip]}" in hit["paths"] for hit in hits))
        for hit in hits:
            assert hit["projection"] == 0
            assert hit["tag_branch"] + hit["words"] == pytest.approx(hit["score"], abs=1e-5)
            assert hit["reasons"][0]["contribution"] > hit["reasons"][-1]["contribution"]
    assert sum(found) > 0.7 * len(found)
    assert "model tags" in errors
    assert "only knows the demo's synthetic sounds" in errors
    assert "--model tags" not in errors


def test_a_model_folder_searches_as_its_checkpoint_does(search, trained, tmp_path, small_demo):
    settings = options(settings_for(small_demo))
    folder = tmp_path / "shared"
    export = ["export", "--checkpoint", str(trained), "--output", str(folder)]
    load_script("main").main([*export, *settings])
    fixed = [*options(["precision=fp32"]), "--model"]
    _, expected, _ = search("--json", "rain", "a dog barks", *fixed, str(trained))
    for place in (folder, trained.parent):
        _, found, _ = search("--json", "rain", "a dog barks", *fixed, str(place))
        assert list(map(json.loads, found.splitlines())) == list(
            map(json.loads, expected.splitlines())
        )
    other = "sentence_model.sha256=" + "f" * 64
    with pytest.raises(InputError, match=r"sentence_model in the settings does not go with the"):
        search("rain", *fixed, str(folder), "--set", other)
    (folder / "config.json").write_text("{}")
    with pytest.raises(InputError, match=r"config\.json was changed"):
        search("rain", *fixed, str(folder))


def test_in_a_terminal_the_status_is_that_of_the_last_answer(search, sounds, monkeypatch):
    search("rain")
    copy = sounds / "zanzibar.wav"
    shutil.copy(sorted(sounds.glob("sub/*.wav"))[0], copy)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    try:
        status, printed, _ = search("name:zanzibar")
    finally:
        copy.unlink()
    assert "nothing found" in printed
    assert "zanzibar.wav" in printed.partition("nothing found")[2]
    assert status == 3


def test_hits_are_collected_listed_and_exported(search, sounds, tmp_path):
    status, _, errors = search("rain", "a dog", "--top", "3", "--collect", "my picks")
    assert status == 3  # a file of the folder is broken
    count = int(re.search(r"^(\d) items added to the collection 'my picks'$", errors, re.M)[1])
    assert 3 <= count <= 6
    assert search("--collections")[:2] == (0, f"{count:6}  my picks\n")
    status, printed, _ = search("--collection", "my picks")
    assert status == 0
    assert printed.startswith("my picks\n  1. ")
    assert re.search(r"wav  0:\d\d\.\d–0:\d\d\.\d of 0:\d\d\.\d  \(rain\)\n", printed)
    status, printed, _ = search("--collection", "my picks", "--json", "--whole")
    listed = json.loads(printed)
    assert listed["collection"] == "my picks"
    assert {item["start"] for item in listed["items"]} == {0.0}
    path = tmp_path / "picks.csv"
    status, printed, errors = search("--collection", "my picks", "--export", str(path))
    assert (status, printed) == (0, "")
    assert f"{count} items exported to {path}" in errors
    rows = path.read_text().splitlines()
    assert rows[0] == "query,score,path,start,end,duration,loudness,sha256,missing"
    assert len(rows) == 1 + count
    assert str(sounds / "sub") in rows[1]
    assert (
        search("rain", "--top", "3", "--collect", "my picks")[2].count("; 3 of 3 were there") == 1
    )


def test_moments_are_cut_out_and_sounds_copied(search, tmp_path):
    cuts, copies = tmp_path / "cuts", tmp_path / "copies"
    _, printed, _ = search(
        "rain", "--top", "2", "--json", "--export", str(cuts), "--export-as", "regions"
    )
    hits = json.loads(printed)["hits"]
    wanted = {f"{m['start']:.3f}-{m['end']:.3f}" for hit in hits for m in hit["moments"]}
    assert {path.stem.split()[-1] for path in cuts.iterdir()} == wanted
    for path in cuts.iterdir():
        start, end = map(float, path.stem.split()[-1].split("-"))
        assert soundfile.info(path).duration == pytest.approx(end - start, abs=1e-3)
    _, _, errors = search("rain", "--top", "2", "--export", str(copies), "--export-as", "copies")
    assert f"2 files exported to {copies}" in errors
    assert len(list(copies.iterdir())) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rain", "--export", "a.txt"], r"--export a\.txt: its ending is none of \.csv"),
        (["rain", "--export-as", "csv"], "say where to, with --export PATH"),
        (["rain", "--export", "a.edl", "--fps", "59.94"], r"'59\.94' frames per second: give one"),
        (["rain", "--collect", " "], "--collect: the name of the collection is empty"),
        (["rain", "--collection", "x"], "give no query and no --collect with it"),
        (["--collections", "--export", "a.csv"], "to export one, use --collection NAME"),
        (["rain", "--list-duplicates"], "--list-duplicates lists files: give no query"),
    ],
)
def test_contradicting_options_are_refused_before_anything_is_searched(arguments, message):
    with pytest.raises(InputError, match=message):
        load_script("07_search").main([*arguments, "--audio", "gone"])


def test_a_collection_that_is_not_there_is_named(search):
    with pytest.raises(InputError, match="there is no collection 'x y'"):
        search("--collection", "x y")


def test_copies_and_near_duplicates_are_listed(search):
    status, printed, _ = search("--list-duplicates")
    assert status == 0
    assert "\n      copy " in printed
    groups = [json.loads(line) for line in search("--list-duplicates", "--json")[1].splitlines()]
    files = [path for group in groups for form in group["duplicates"] for path in form["paths"]]
    assert len(files) == len(set(files)) == printed.count("\n    ")
    assert {form["lossless"] for group in groups for form in group["duplicates"]} <= {True, False}
