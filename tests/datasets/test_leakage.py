import csv
import os
import subprocess
import sys
from collections import Counter

import pytest

from tests.support import load_script, options, write_captions
from utils.datasets import audiocaps, clotho, leakage
from utils.datasets.leakage import Shared
from utils.datasets.splits import SPLITS
from utils.runtime.errors import InputError
from utils.runtime.paths import PROJECT_ROOT

DEVELOPMENT, VALIDATION, EVALUATION = SPLITS
HEADER = "file_name,keywords,sound_id,sound_link,start_end_samples,manufacturer,license"
# One name in all splits, one in two; "Rain falls" is a caption of four clips, in three spellings.
CAPTIONS = {
    DEVELOPMENT: {
        " edge.wav": ["Rain falls.", "one"],
        "Tom &amp; Jerry .wav": ["rain   falls", "two"],
        "everywhere.wav": ["three", "four"],
        "lost.wav": ["five", "..."],
    },
    VALIDATION: {
        "everywhere.wav": ["six", "seven"],
        " edge.wav": ["eight", "RAIN, falls!"],
        "edge.wav": ["nine", "!?"],
    },
    EVALUATION: {
        "Tom__amp_ Jerry.wav": ["ten", "eleven"],
        "everywhere.wav": ["twelve", "rain-falls"],
        "lost too.wav": ["thirteen", "fourteen"],
    },
}
SOUND_IDS = {
    DEVELOPMENT: {"Tom &amp; Jerry .wav": "0077", "everywhere.wav": "1"},
    VALIDATION: {"everywhere.wav": "2", " edge.wav": "3"},
    EVALUATION: {"Tom__amp_ Jerry.wav": "0077"},
}


def write_clotho(folder, captions, sound_ids):
    folder.mkdir(parents=True)
    for split, table in captions.items():
        write_captions(folder, split, table)
    for split, table in sound_ids.items():
        rows = [f'{name},"a;b",{sound},link,"[0, 1]",José,CC' for name, sound in table.items()]
        text = "\r\n".join([HEADER, *rows, ""])
        (folder / f"clotho_metadata_{split}.csv").write_bytes(text.encode("iso-8859-1"))
    return folder


@pytest.fixture
def data_set(tmp_path):
    return write_clotho(tmp_path / "clotho", CAPTIONS, SOUND_IDS)


def settings_of(folder):
    return options(
        [
            f"train_data.dataset_path={folder}",
            f"train_data.input_path={folder.parent / 'processed'}",
            f"audiocaps.dataset_path={folder.parent / 'audiocaps'}",
        ]
    )


def test_known_sound_ids_are_read_as_texts_under_verbatim_names(tmp_path):
    rows = [
        " Ambience Birds .wav,birds,00123,link,,José,CC",
        '"Rain, &amp; co .wav","a, b",Not found,NA,"[1, 2]",x,CC',
        "caf\xe9.wav,k,77,https://freesound.org/people/\xfc/sounds/77,,\xfc,CC",
        "lost.wav,k, ,,,x,CC",
    ]
    path = tmp_path / "clotho_metadata_development.csv"
    path.write_bytes("\r\n".join([HEADER, *rows, ""]).encode("iso-8859-1"))
    assert leakage.read_metadata_csv(path) == {" Ambience Birds .wav": "00123", "café.wav": "77"}


def test_what_splits_share_is_found_by_name_sound_and_words():
    shared = leakage.find_shared(CAPTIONS, SOUND_IDS)
    edge, everywhere, jerry = (" edge.wav",), ("everywhere.wav",), "Tom &amp; Jerry .wav"
    rain = (" edge.wav", jerry)
    assert shared == [
        Shared("file name", (DEVELOPMENT, VALIDATION), *edge, (edge, edge)),
        Shared("file name", (DEVELOPMENT, VALIDATION), *everywhere, (everywhere, everywhere)),
        Shared("caption", (DEVELOPMENT, VALIDATION), "rain falls", (rain, edge)),
        Shared("file name", (DEVELOPMENT, EVALUATION), *everywhere, (everywhere, everywhere)),
        Shared("sound id", (DEVELOPMENT, EVALUATION), "0077", ((jerry,), ("Tom__amp_ Jerry.wav",))),
        Shared("caption", (DEVELOPMENT, EVALUATION), "rain falls", (rain, everywhere)),
        Shared("file name", (VALIDATION, EVALUATION), *everywhere, (everywhere, everywhere)),
        Shared("caption", (VALIDATION, EVALUATION), "rain falls", (edge, everywhere)),
        Shared("caption", (DEVELOPMENT, DEVELOPMENT), "rain falls", (rain, rain)),
    ]
    assert leakage.find_shared(dict(reversed(CAPTIONS.items())), SOUND_IDS) == shared
    # Validation keeps what development shares with it, and evaluation keeps all.
    assert leakage.proposed_exclusions(shared) == [
        "development/ edge.wav",
        "development/Tom &amp; Jerry .wav",
        "development/everywhere.wav",
        "validation/everywhere.wav",
    ]


def test_what_is_shared_within_a_split_and_captions_exclude_nothing():
    ids = {VALIDATION: {"a.wav": "9", "b.wav": "9 ", "no captions.wav": "9"}}
    captions = {VALIDATION: {"b.wav": ["b", "B."], "a.wav": ["rain"]}, EVALUATION: {"c": ["Rain!"]}}
    shared = leakage.find_shared(captions, ids)
    names = ("a.wav", "b.wav")
    assert shared == [
        Shared("caption", (VALIDATION, EVALUATION), "rain", (names[:1], ("c",))),
        Shared("sound id", (VALIDATION, VALIDATION), "9", (names, names)),
    ]
    assert leakage.proposed_exclusions(shared) == []


def test_the_table_has_a_row_for_every_two_clips():
    between = Shared("caption", (DEVELOPMENT, EVALUATION), "x", (("a", "b"), ("c", "d")))
    within = Shared("caption", (DEVELOPMENT, DEVELOPMENT), "y", (("a", "b", "c"),) * 2)
    _, *rows = csv.reader(leakage.csv_text([between, within]).splitlines())
    pairs = ["".join((first, second)) for _, _, first, _, second, _ in rows]
    assert pairs == ["ac", "ad", "bc", "bd", "ab", "ac", "bc"]


def test_a_name_with_a_line_break_is_not_written_into_a_list():
    assert leakage.exclusions_text(["development/ a .wav"]) == "development/ a .wav\n"
    with pytest.raises(InputError, match=r"1 clip with a line break .*\n.*'development/a\\nb.wav'"):
        leakage.exclusions_text(["development/a\nb.wav"])


def test_the_listing_shows_ten_of_each_and_counts_the_rest():
    splits = DEVELOPMENT, EVALUATION
    shared = [Shared("caption", splits, f"caption {i}", (("d",), ("e",))) for i in range(13)]
    lines = leakage.listing(shared).splitlines()
    assert lines[:2] == [
        "development and evaluation: 13 captions",
        "  - caption 0: 'd' and 'e'",
    ]
    assert lines[11:] == ["  ... and 3 more"]


def test_the_script_prints_and_writes_the_audit_where_it_has_changed(data_set, capsys):
    main = load_script("audit_leakage").main
    main(settings_of(data_set))
    printed = capsys.readouterr().out
    assert "development: 2 clips of 4 without sound id" in printed
    assert "development and evaluation: 1 sound id\n" in printed
    assert "no AudioCaps in" in printed
    summary = "8 shared between splits, 1 within a split; 4 clips proposed for exclusion"
    assert printed.splitlines()[-1].startswith(summary)
    processed = data_set.parent / "processed"
    assert (processed / "excluded_clips.txt").read_bytes().decode() == (
        "development/ edge.wav\ndevelopment/Tom &amp; Jerry .wav\n"
        "development/everywhere.wav\nvalidation/everywhere.wav\n"
    )
    header, *rows = csv.reader((processed / "leakage.csv").read_text().splitlines())
    assert header == ["kind", "split_1", "file_1", "split_2", "file_2", "key"]
    assert len(rows) == 11
    jerry, tom = "Tom &amp; Jerry .wav", "Tom__amp_ Jerry.wav"
    assert ["sound id", DEVELOPMENT, jerry, EVALUATION, tom, "0077"] in rows
    main(settings_of(data_set))
    assert "\nwrites " not in capsys.readouterr().out


def test_the_script_works_without_metadata_and_without_findings(tmp_path, capsys):
    captions = {split: {f"{split}.wav": [split, "!"]} for split in SPLITS}
    folder = write_clotho(tmp_path / "clotho", captions, {})
    load_script("audit_leakage").main(settings_of(folder))
    printed = capsys.readouterr().out
    assert "no clotho_metadata_validation.csv: sounds of validation that have" in printed
    last = printed.splitlines()[-1]
    assert last.startswith("0 shared between splits, 0 within a split; 0 clips proposed")
    assert (tmp_path / "processed/excluded_clips.txt").read_bytes() == b""


def test_the_command_runs_from_any_folder_without_torch(data_set, tmp_path):
    script = PROJECT_ROOT / "scripts/audit_leakage.py"
    run = "import runpy, sys\ntry:\n  runpy.run_path(sys.argv.pop(1), run_name='__main__')\n"
    code = f"{run}finally:\n  assert not sys.modules.keys() & {{'torch', 'pandas'}}"
    command = [sys.executable, "-c", code, str(script), *settings_of(data_set)]
    env = {**os.environ, "PYTHONPATH": str(script.parent)}  # which Python adds for a script
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    with pytest.raises(InputError, match=r"no .*captions_development"):
        load_script("audit_leakage").main(settings_of(tmp_path / "no"))


def test_the_script_compares_audiocaps_if_present(data_set, capsys):
    folder = data_set.parent / "audiocaps"
    (folder / "audio/train").mkdir(parents=True)
    (folder / "audio/train/sharedvideo_10.flac").touch()
    header = "audiocap_id,youtube_id,start_time,caption\n"
    (folder / "train.csv").write_text(f"{header}1,sharedvideo,10,rain FALLS\n2,ownvideo_tr,0,x\n")
    (folder / "val.csv").write_text(f"{header}3,ownvideo_va,0,y\n")
    (folder / "test.csv").write_text(f"{header}4,sharedvideo,30,z\n")
    load_script("audit_leakage").main(settings_of(data_set))
    printed = capsys.readouterr().out
    assert "train, val and test are AudioCaps'" in printed
    assert "train and test: 1 sound id\n  - sharedvideo: 'sharedvideo_10.flac' and " in printed
    assert "train and evaluation: 1 caption\n  - rain falls: 'sharedvideo_10.flac' and " in printed
    # The clip of the test split stays; the other is listed under the name that training uses.
    excluded = (data_set.parent / "processed/excluded_clips.txt").read_text().splitlines()
    assert [clip for clip in excluded if clip.startswith("t")] == ["train/sharedvideo_10.flac"]


@pytest.fixture(scope="module")
def real(shared_data):
    path = shared_data / "clotho"
    captions = {s: clotho.read_captions_csv(path / f"clotho_captions_{s}.csv") for s in SPLITS}
    ids = {s: leakage.read_metadata_csv(path / f"clotho_metadata_{s}.csv") for s in SPLITS}
    return captions, ids


def test_what_audiocaps_shares_with_itself_and_with_clotho(shared_data, real):
    captions, videos = audiocaps.read_for_audit(shared_data / "audiocaps")
    shared = leakage.find_shared({**real[0], **captions}, {**real[1], **videos})
    counts = Counter((one.splits, one.kind) for one in shared if one.splits[0] != one.splits[1])
    of_audiocaps = {key: n for key, n in counts.items() if key[0][0] in audiocaps.SPLITS}
    assert of_audiocaps == {
        (("train", "val"), "caption"): 142,
        (("train", "test"), "caption"): 271,
        (("val", "test"), "caption"): 21,
        (("train", "development"), "caption"): 1,
        (("train", "validation"), "caption"): 1,
        (("train", "evaluation"), "caption"): 1,
    }
    assert len(leakage.proposed_exclusions(shared)) == 5  # Clotho's own


def test_what_splits_of_clotho_share(real):
    captions, ids = real
    shared = leakage.find_shared(captions, ids)
    unknown = [len(captions[split].keys() - ids[split].keys()) for split in SPLITS]
    assert unknown == [8, 6, 5]
    assert Counter((one.splits, one.kind) for one in shared) == {
        ((DEVELOPMENT, VALIDATION), "file name"): 1,
        ((DEVELOPMENT, VALIDATION), "sound id"): 2,
        ((DEVELOPMENT, VALIDATION), "caption"): 3,
        ((DEVELOPMENT, EVALUATION), "file name"): 1,
        ((DEVELOPMENT, EVALUATION), "sound id"): 1,
        ((DEVELOPMENT, EVALUATION), "caption"): 13,
        ((VALIDATION, EVALUATION), "file name"): 2,
        ((VALIDATION, EVALUATION), "sound id"): 2,
        ((VALIDATION, EVALUATION), "caption"): 1,
        ((DEVELOPMENT, DEVELOPMENT), "sound id"): 1,
        ((DEVELOPMENT, DEVELOPMENT), "caption"): 16,
    }
    assert leakage.proposed_exclusions(shared) == [
        "development/City Ambience w_ Car Passing_1-2.wav",
        "development/FREEZER_DOOR_OPEN_CLOSE.wav",
        "development/Greek Chat2 - (Apollonia&#39;s sPA) 18_44 05.10.wav",
        "validation/01 A pug struggles to breathe 1_14_2008.wav",
        "validation/Bus(Drive_Reverse)_1-2.wav",
    ]

    # One clip has three captions of another.
    pages, engine = "Leafing through papers.wav", "Leaf Blower.wav"
    between = [one.splits for one in shared if (pages, engine) in one.pairs]
    assert between == [(DEVELOPMENT, EVALUATION)] * 3
