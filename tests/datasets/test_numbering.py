import os
import pickle
import random
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from tests.support import Bar, load_script, options, write_captions
from utils.audio.sound_file import UnusableSound
from utils.datasets import numbering, splits
from utils.datasets.clotho import preprocess_clotho
from utils.runtime.errors import InputError
from utils.runtime.paths import PROJECT_ROOT

RATE = 1000
# Two captions per clip; "b.wav" is in two splits, "rain" is a caption of three clips.
CAPTIONS = {
    "development": {
        "b.wav": ["Rain.", " edge spaces "],
        " Ambience Birds.wav": ["rain", 'birds, "singing"'],
        "Glass &amp; co .wav": ["A well-known glass.", "NA"],
    },
    "validation": {"b.wav": ["rain", "2012"], "B.wav": ["null", "None"]},
    "evaluation": {"x, [1] #2 %@!~.wav": ["rain", "a\nb"]},
}
SECONDS = {"b.wav": 0.5, " Ambience Birds.wav": 1.25}


def write_wav(path, seconds=2.0):
    soundfile.write(path, np.zeros(int(RATE * seconds)), RATE)


@pytest.fixture
def clotho(tmp_path):
    folder = tmp_path / "clotho"
    for split, table in CAPTIONS.items():
        (folder / split).mkdir(parents=True)
        write_captions(folder, split, table)
        for name in table:
            write_wav(folder / split / name, SECONDS.get(name, 2.0))
    return folder


def rows_of(result):
    columns = ["cid", "fid", "fname", "original"]
    return {
        split: list(table[columns].itertuples(index=False, name=None))
        for split, table in result.captions.items()
    }


def test_numbers_names_and_durations(clotho):
    result = preprocess_clotho(clotho)
    assert result.audio_info == {
        "audio_fids": {
            "development": {" Ambience Birds.wav": 1, "Glass &amp; co .wav": 2, "b.wav": 3},
            "validation": {"B.wav": 4, "b.wav": 5},
            "evaluation": {"x, [1] #2 %@!~.wav": 6},
        },
        "audio_fnames": {
            "development": [" Ambience Birds.wav", "Glass &amp; co .wav", "b.wav"],
            "validation": ["B.wav", "b.wav"],
            "evaluation": ["x, [1] #2 %@!~.wav"],
        },
        "audio_durations": {
            "development": [1.25, 2.0, 0.5],
            "validation": [2.0, 0.5],
            "evaluation": [2.0],
        },
    }
    assert rows_of(result) == {
        "development": [
            (1, 3, "b.wav", "Rain."),
            (2, 3, "b.wav", " edge spaces "),
            (3, 1, " Ambience Birds.wav", "rain"),
            (4, 1, " Ambience Birds.wav", 'birds, "singing"'),
            (5, 2, "Glass &amp; co .wav", "A well-known glass."),
            (6, 2, "Glass &amp; co .wav", "NA"),
        ],
        "validation": [
            (7, 5, "b.wav", "rain"),
            (8, 5, "b.wav", "2012"),
            (9, 4, "B.wav", "null"),
            (10, 4, "B.wav", "None"),
        ],
        "evaluation": [
            (11, 6, "x, [1] #2 %@!~.wav", "rain"),
            (12, 6, "x, [1] #2 %@!~.wav", "a\nb"),
        ],
    }
    development = result.captions["development"]
    assert list(development) == ["cid", "fid", "fname", "original", "caption", "tokens"]
    assert development["caption"][4] == "A well known glass"
    assert development["tokens"][4] == ["a", "well", "known", "glass"]
    info = result.vocab_info.split_infos["validation"]
    assert info == {"num_clips": 2, "num_captions": 4, "num_words": 4}
    assert result.missing == result.extra == []
    assert result.summary() == (
        "development 3 clips, 6 captions; validation 2 clips, 4 captions; "
        "evaluation 1 clips, 2 captions"
    )


def test_written_files_read_back(clotho, tmp_path):
    bars = []
    result = preprocess_clotho(clotho, progress=lambda total: bars.append(Bar(total)) or bars[0])
    assert bars[0].done == bars[0].total == 6
    out = tmp_path / "new" / "folder"
    written = numbering.write_preprocessed(out, result)
    assert sorted(path.name for path in written) == sorted(path.name for path in out.iterdir())
    assert pickle.loads((out / "audio_info.pkl").read_bytes()) == result.audio_info
    split = splits.load_captions(out, "development")
    assert split.cids.tolist() == [1, 2, 3, 4, 5, 6]
    assert split.captions == [text for table in CAPTIONS["development"].values() for text in table]
    assert split.clip_names == result.audio_info["audio_fnames"]["development"]
    assert split.clip_of_caption.tolist() == [2, 2, 0, 0, 1, 1]
    assert split.clip_fids.tolist() == [1, 2, 3]
    assert pickle.loads((out / "vocab_info.pkl").read_bytes()) == vars(result.vocab_info)
    # The very bytes that pandas writes, as the original system does.
    result.captions["development"].to_json(tmp_path / "by_pandas.json")
    by_pandas = (tmp_path / "by_pandas.json").read_bytes()
    assert (out / "development_captions.json").read_bytes() == by_pandas


def test_files_are_written_only_if_they_change(clotho, tmp_path):
    def written():
        return numbering.write_preprocessed(tmp_path / "out", preprocess_clotho(clotho))

    assert len(written()) == 7
    assert written() == []
    table = {**CAPTIONS["validation"], "B.wav": ["null", "Something else"]}
    write_captions(clotho, "validation", table)
    assert [path.name for path in written()] == ["validation_captions.json", "vocab_info.pkl"]


def test_order_of_the_files_on_disk_changes_nothing(clotho, tmp_path, monkeypatch):
    expected = preprocess_clotho(clotho)
    listing = Path.iterdir

    def shuffled(folder):
        entries = list(listing(folder))
        random.Random(7).shuffle(entries)
        return iter(entries[::-1])

    monkeypatch.setattr(Path, "iterdir", shuffled)
    numbering.write_preprocessed(tmp_path / "b", preprocess_clotho(clotho))
    for path in numbering.write_preprocessed(tmp_path / "a", expected):
        assert (tmp_path / "b" / path.name).read_bytes() == path.read_bytes()


def test_stripped_names_on_disk_change_nothing(clotho):
    expected = preprocess_clotho(clotho)
    folder = clotho / "development"
    (folder / " Ambience Birds.wav").rename(folder / "Ambience Birds.wav")
    (folder / "Glass &amp; co .wav").rename(folder / "Glass &amp; co.wav")
    result = preprocess_clotho(clotho)
    assert result.audio_info == expected.audio_info
    assert rows_of(result) == rows_of(expected)
    assert result.extra == []


def test_a_file_in_another_unicode_form_is_found_and_the_summary_says_so(clotho, tmp_path, capsys):
    names = {"caf\xe9.wav": "cafe\u0301.wav", "cafe\u0301 bar.wav": "caf\xe9 bar.wav"}
    write_captions(clotho, "evaluation", {name: ["rain", "wind"] for name in names})
    for on_disk in names.values():
        write_wav(clotho / "evaluation" / on_disk)
    (clotho / "evaluation/x, [1] #2 %@!~.wav").unlink()
    result = preprocess_clotho(clotho)
    assert result.audio_info["audio_fnames"]["evaluation"] == sorted(names)
    assert (result.missing, result.extra, result.failed) == ([], [], {})
    assert "2 files under another spelling" in result.summary()
    assert load_script("01_preprocess").main(settings_of(clotho, tmp_path / "out")) == 0
    assert r"evaluation/caf\xe9.wav: 'cafe\u0301.wav'" in capsys.readouterr().out.replace(
        "\xe9", r"\xe9"
    )


def test_blank_captions_take_no_number(clotho):
    table = {"a.wav": ["one", ""], "b.wav": ["two", "three"], "c.wav": [" ", "four"]}
    write_captions(clotho, "development", table)
    for name in table:
        write_wav(clotho / "development" / name)
    with pytest.raises(InputError, match=r"caption_2 of 'a\.wav' is empty"):
        preprocess_clotho(clotho)
    result = preprocess_clotho(clotho, blank_captions=True)
    texts = [(cid, text) for cid, _, _, text in rows_of(result)["development"]]
    assert texts == [(1, "one"), (2, "two"), (3, "three"), (4, "four")]
    assert rows_of(result)["validation"][0][0] == 5


def test_wavs_without_captions_are_kept_and_counted(clotho):
    write_wav(clotho / "development" / "Zoo.wav")
    result = preprocess_clotho(clotho)
    assert result.extra == ["development/Zoo.wav"]
    names = [" Ambience Birds.wav", "Glass &amp; co .wav", "Zoo.wav", "b.wav"]
    assert list(result.audio_info["audio_fids"]["development"].items()) == [
        (name, fid) for fid, name in enumerate(names, start=1)
    ]
    assert result.captions["development"]["cid"].tolist() == [1, 2, 3, 4, 5, 6]
    assert "development 4 clips, 6 captions" in result.summary()
    assert "1 sound file without captions" in result.summary()
    (clotho / "development" / "Zoo.wav").write_bytes(b"no sound")
    result = preprocess_clotho(clotho)
    assert result.failed["development/Zoo.wav"].startswith("cannot be read as sound")
    assert result.missing == []
    assert "Zoo.wav" not in result.audio_info["audio_fids"]["development"]


def test_where_no_clip_can_be_used_all_are_named(clotho):
    wavs = sorted(clotho.rglob("*.wav"))
    for wav in wavs:
        wav.write_bytes(b"")
    message = r"none of the 6 sound files .*\n  - development/"
    with pytest.raises(InputError, match=message) as error:
        preprocess_clotho(clotho)
    assert all(wav.name in str(error.value) for wav in wavs)


def test_clips_that_are_missing_or_broken_are_left_out_and_the_others_keep_their_numbers(clotho):
    complete = preprocess_clotho(clotho)
    (clotho / "development" / "b.wav").unlink()
    (clotho / "validation" / "B.wav").write_bytes(b"no wav")
    write_wav(clotho / "validation" / "b.wav", 0)
    with pytest.raises(UnusableSound, match=r"validation/b\.wav holds no samples"):
        preprocess_clotho(clotho, allow_missing=True, strict=True)
    result = preprocess_clotho(clotho, allow_missing=True)
    assert result.missing == ["development/b.wav"]
    assert result.failed["validation/B.wav"].startswith("cannot be read as sound (")
    assert result.failed["validation/b.wav"] == "holds no samples"
    assert len(result.failed) == 2
    gone = {("development", "b.wav"), ("validation", "b.wav"), ("validation", "B.wav")}
    assert rows_of(result) == {
        split: [row for row in rows if (split, row[2]) not in gone]
        for split, rows in rows_of(complete).items()
    }
    assert result.audio_info["audio_fids"] == {
        "development": {" Ambience Birds.wav": 1, "Glass &amp; co .wav": 2},
        "validation": {},
        "evaluation": {"x, [1] #2 %@!~.wav": 6},
    }
    assert result.summary().endswith("1 missing; 2 cannot be used")


def test_missing_folder_says_where_clotho_is(clotho, tmp_path):
    shutil.rmtree(clotho / "evaluation")
    with pytest.raises(InputError, match=r"no folder .*evaluation\. .*zenodo\.org/records/4783391"):
        preprocess_clotho(clotho)
    result = preprocess_clotho(clotho, allow_missing=True)
    assert result.missing == ["evaluation/x, [1] #2 %@!~.wav"]
    numbering.write_preprocessed(tmp_path / "out", result)
    assert splits.load_captions(tmp_path / "out", "evaluation").captions == []
    assert len(splits.load_captions(tmp_path / "out", "validation").captions) == 4


def settings_of(folder, out):
    return options([f"train_data.dataset_path={folder}", f"train_data.input_path={out}"])


def test_script_from_another_folder_writes_the_same_bytes_with_any_hash_seed(clotho, tmp_path):
    script = str(PROJECT_ROOT / "scripts/01_preprocess.py")
    for hash_seed, files in (("1", 7), ("2", 0)):
        done = subprocess.run(
            [sys.executable, script, *settings_of(clotho, tmp_path / "out")],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
        )
        assert (done.returncode, done.stderr) == (0, "")
        lines = done.stdout.splitlines()
        assert lines[0] == "reads  clotho"
        assert sum(line.startswith("writes out/") for line in lines) == files
        assert "development 3 clips, 6 captions; validation 2" in lines[-1]


def test_script_refuses_then_allows_missing_clips(clotho, tmp_path, capsys):
    (clotho / "development" / "b.wav").unlink()
    main, settings = load_script("01_preprocess").main, settings_of(clotho, tmp_path / "out")
    with pytest.raises(InputError, match=r"^1 clip of "):
        main(settings)
    assert not (tmp_path / "out").exists()
    assert main([*settings, "--allow-missing"]) == 0
    printed = capsys.readouterr().out
    assert "left out:\n  - development/b.wav\n" in printed
    assert "1 missing" in printed.splitlines()[-1]


def test_real_captions(shared_data, tmp_path, capsys):
    source = shared_data / "clotho"
    folder = tmp_path / "clotho"
    tables = {}
    for split in splits.SPLITS:
        (folder / split).mkdir(parents=True)
        path = shutil.copy(source / f"clotho_captions_{split}.csv", folder)
        # Read by other means than the code under test.
        tables[split] = pd.read_csv(path, dtype=str, keep_default_na=False)
        names = tables[split]["file_name"].tolist()
        random.Random(split).shuffle(names)
        for name in names:
            write_wav(folder / split / name, 0.004)
    out = tmp_path / "out"
    load_script("01_preprocess").main(settings_of(folder, out))
    assert "development 3839 clips, 19195 captions; validation 1045 clips, 5225 captions; " in (
        capsys.readouterr().out
    )
    seen = Counter()
    info = pickle.loads((out / "audio_info.pkl").read_bytes())
    for split, first, last in (
        ("development", 1, 3839),
        ("validation", 3840, 4884),
        ("evaluation", 4885, 5929),
    ):
        table = tables[split]
        captions = splits.load_captions(out, split)
        assert captions.cids.tolist() == list(range(5 * first - 4, 5 * last + 1))
        assert captions.clip_fids.tolist() == list(range(first, last + 1))
        assert captions.clip_names == sorted(table["file_name"])
        assert captions.captions == table.iloc[:, 1:].to_numpy().ravel().tolist()
        names = [captions.clip_names[clip] for clip in captions.clip_of_caption]
        assert names == table["file_name"].repeat(5).tolist()
        assert info["audio_fnames"][split] == captions.clip_names
        assert set(info["audio_durations"][split]) == {0.004}
        seen.update(captions.clip_names)
    assert sum(count == 2 for count in seen.values()) == 4
    assert max(seen.values()) == 2
