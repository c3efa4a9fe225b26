import csv
import dataclasses
import subprocess
import sys
from collections import Counter

import pytest

from tests.support import load_script
from utils.datasets import audiocaps, clotho, leakage
from utils.datasets.leakage import Shared
from utils.datasets.splits import SPLITS
from utils.runtime.errors import InputError
from utils.settings.config import PROJECT_ROOT

SCRIPT = PROJECT_ROOT / "scripts/audit_leakage.py"
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
    DEVELOPMENT: {"lost.wav": "Not found", "Tom &amp; Jerry .wav": "0077", "everywhere.wav": "1"},
    VALIDATION: {"everywhere.wav": "2", "edge.wav": "Not found", " edge.wav": "3"},
    EVALUATION: {"lost too.wav": "Not found", "Tom__amp_ Jerry.wav": "0077"},
}


def find(captions, sound_ids=None):
    return leakage.find_shared(captions, sound_ids or {})


def of_kind(shared, kind):
    return [one for one in shared if one.kind == kind]


def write_captions(folder, captions):
    folder.mkdir(parents=True, exist_ok=True)
    for split, table in captions.items():
        path = folder / f"clotho_captions_{split}.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["file_name", "caption_1", "caption_2"])
            writer.writerows([name, *texts] for name, texts in table.items())


def write_metadata(folder, sound_ids):
    for split, table in sound_ids.items():
        rows = [f'{name},"a;b",{sound},link,"[0, 1]",José,CC' for name, sound in table.items()]
        text = "\r\n".join([HEADER, *rows, ""])
        (folder / f"clotho_metadata_{split}.csv").write_bytes(text.encode("iso-8859-1"))


@pytest.fixture
def metadata_file(tmp_path):
    def write(content):
        path = tmp_path / "clotho_metadata_development.csv"
        path.write_bytes(content.encode("iso-8859-1"))
        return path

    return write


@pytest.fixture
def data_set(tmp_path):
    folder = tmp_path / "clotho"
    write_captions(folder, CAPTIONS)
    write_metadata(folder, SOUND_IDS)
    return folder


def options(folder):
    return [
        *("--set", f"train_data.dataset_path={folder}"),
        *("--set", f"train_data.input_path={folder.parent / 'processed'}"),
        *("--set", f"audiocaps.dataset_path={folder.parent / 'audiocaps'}"),
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_sound_ids_are_read_as_texts_under_verbatim_names(metadata_file, end):
    rows = [
        " Ambience Birds .wav,birds,00123,link,,José,CC",
        '"Rain, &amp; co .wav","a, b",Not found,NA,"[1, 2]",x,CC',
        "caf\xe9.wav,k,77,https://freesound.org/people/\xfc/sounds/77,,\xfc,CC",
    ]
    assert leakage.read_metadata_csv(metadata_file(end.join([HEADER, *rows, ""]))) == {
        " Ambience Birds .wav": "00123",
        "Rain, &amp; co .wav": "Not found",
        "café.wav": "77",
    }


def test_columns_of_metadata_are_found_by_their_names(metadata_file):
    path = metadata_file("sound_id,file_name\n5,a.wav\n")
    assert leakage.read_metadata_csv(path) == {"a.wav": "5"}


@pytest.mark.parametrize("content", ["", "file_name;sound_id\na.wav;1\n", "file_name,sound_link\n"])
def test_metadata_without_the_columns_are_refused(metadata_file, content):
    with pytest.raises(InputError, match=r"development\.csv.* header .*sound_id"):
        leakage.read_metadata_csv(metadata_file(content))


def test_all_problems_of_metadata_come_in_one_message(metadata_file):
    path = metadata_file("file_name,sound_id\na.wav,1\nb.wav\na.wav,2\n")
    with pytest.raises(InputError) as caught:
        leakage.read_metadata_csv(path)
    assert "2 problems" in str(caught.value)
    assert "line 3: 'b.wav' has 1 columns where the header has 2" in str(caught.value)
    assert "line 4: 'a.wav' has a row already" in str(caught.value)


def test_an_open_quote_in_metadata_is_named_with_its_line(metadata_file):
    path = metadata_file('file_name,sound_id\na.wav,1\n"b.wav,2\n')
    with pytest.raises(InputError, match="line 3: the row that begins here is not valid CSV"):
        leakage.read_metadata_csv(path)


def test_missing_metadata_are_an_input_error(tmp_path):
    with pytest.raises(InputError, match=r"cannot read .*nowhere"):
        leakage.read_metadata_csv(tmp_path / "nowhere.csv")


def test_file_names_are_compared_verbatim():
    shared = of_kind(find(CAPTIONS), "file name")
    assert [(one.splits, one.key) for one in shared] == [
        ((DEVELOPMENT, VALIDATION), " edge.wav"),
        ((DEVELOPMENT, VALIDATION), "everywhere.wav"),
        ((DEVELOPMENT, EVALUATION), "everywhere.wav"),
        ((VALIDATION, EVALUATION), "everywhere.wav"),
    ]
    assert shared[0].items == ((" edge.wav",), (" edge.wav",))


def test_a_sound_is_found_under_another_name_and_unknown_ones_are_never_the_same():
    assert of_kind(find(CAPTIONS, SOUND_IDS), "sound id") == [
        Shared(
            "sound id",
            (DEVELOPMENT, EVALUATION),
            "0077",
            (("Tom &amp; Jerry .wav",), ("Tom__amp_ Jerry.wav",)),
        )
    ]


@pytest.mark.parametrize("unknown", ["Not found", "", " "])
def test_no_two_unknown_sounds_are_shared(unknown):
    captions = {DEVELOPMENT: {"a.wav": ["a"], "b.wav": ["b"]}, EVALUATION: {"c.wav": ["c"]}}
    ids = {split: dict.fromkeys(table, unknown) for split, table in captions.items()}
    assert find(captions, ids) == []


def test_a_sound_twice_in_one_split_is_reported_and_excludes_nothing():
    ids = {VALIDATION: {"a.wav": "9", "b.wav": "9", "no captions.wav": "9"}}
    shared = find({VALIDATION: {"b.wav": ["b"], "a.wav": ["a"]}}, ids)
    names = ("a.wav", "b.wav")
    assert shared == [Shared("sound id", (VALIDATION, VALIDATION), "9", (names, names))]
    assert shared[0].pairs == [names]
    assert leakage.proposed_exclusions(shared) == []


def test_captions_are_compared_by_words_between_splits_and_within():
    rain = ("caption", "rain falls", (" edge.wav", "Tom &amp; Jerry .wav"))
    found = [(one.kind, one.key, one.items[0], one.splits, one.items[1]) for one in find(CAPTIONS)]
    assert [row for row in found if row[0] == "caption"] == [
        (*rain, (DEVELOPMENT, VALIDATION), (" edge.wav",)),
        (*rain, (DEVELOPMENT, EVALUATION), ("everywhere.wav",)),
        ("caption", "rain falls", (" edge.wav",), (VALIDATION, EVALUATION), ("everywhere.wav",)),
        (*rain, (DEVELOPMENT, DEVELOPMENT), rain[2]),
    ]


def test_a_caption_twice_for_one_clip_is_not_shared():
    assert find({DEVELOPMENT: {"a.wav": ["Rain.", "rain"]}}) == []


def test_pairs_name_every_two_clips_once():
    between = Shared("caption", (DEVELOPMENT, EVALUATION), "x", (("a", "b"), ("c", "d")))
    assert between.pairs == [("a", "c"), ("a", "d"), ("b", "c"), ("b", "d")]
    within = Shared("caption", (DEVELOPMENT, DEVELOPMENT), "x", (("a", "b", "c"),) * 2)
    assert within.pairs == [("a", "b"), ("a", "c"), ("b", "c")]


def test_shared_things_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        find(CAPTIONS)[0].key = "other"


def test_development_gives_way_to_validation_and_both_to_evaluation():
    assert leakage.proposed_exclusions(find(CAPTIONS, SOUND_IDS)) == [
        "development/ edge.wav",
        "development/Tom &amp; Jerry .wav",
        "development/everywhere.wav",
        "validation/everywhere.wav",
    ]


def test_the_order_in_which_splits_are_given_does_not_matter():
    backwards = dict(reversed(CAPTIONS.items()))
    assert find(backwards, SOUND_IDS) == find(CAPTIONS, SOUND_IDS)
    by_hand = Shared("file name", (EVALUATION, DEVELOPMENT), "a", (("a",), ("a",)))
    assert leakage.proposed_exclusions([by_hand]) == ["development/a"]


def test_another_data_set_gives_way_to_every_split():
    captions = {DEVELOPMENT: {"a.wav": ["a"]}, "audiocaps train": {"b.wav": ["b"]}}
    shared = find(captions, {DEVELOPMENT: {"a.wav": "4"}, "audiocaps train": {"b.wav": "4"}})
    assert leakage.proposed_exclusions(shared) == ["audiocaps train/b.wav"]


def test_captions_exclude_nothing():
    shared = find({DEVELOPMENT: {"a.wav": ["rain falls"]}, EVALUATION: {"b.wav": ["Rain falls"]}})
    assert [one.kind for one in shared] == ["caption"]
    assert leakage.proposed_exclusions(shared) == []


def test_clips_without_sound_are_listed():
    names = ["a.wav", "b.wav", "c.wav", "d.wav"]
    ids = {"a.wav": "1", "b.wav": "Not found", "c.wav": ""}
    assert leakage.without_sound(names, ids) == ["b.wav", "c.wav", "d.wav"]


def test_a_name_with_a_line_break_is_not_written_into_a_list():
    assert leakage.exclusions_text(["development/ a .wav"]) == "development/ a .wav\n"
    with pytest.raises(InputError, match=r"1 clip cannot be listed .*\n.*'development/a\\nb.wav'"):
        leakage.exclusions_text(["development/a\nb.wav"])


def test_the_table_counts_by_pair_and_kind_and_says_what_is_not_known():
    known = {split: SOUND_IDS[split] for split in (DEVELOPMENT, EVALUATION)}
    table = leakage.counts_table(find(CAPTIONS, known), CAPTIONS, known)
    assert [line.split() for line in table.splitlines()] == [
        ["file", "names", "sound", "ids", "captions"],
        ["development", "and", "validation", "2", "?", "1"],
        ["development", "and", "evaluation", "1", "1", "1"],
        ["validation", "and", "evaluation", "1", "?", "1"],
        ["within", "development", "-", "0", "1"],
        ["within", "validation", "-", "?", "0"],
        ["within", "evaluation", "-", "0", "0"],
    ]


def test_the_listing_shows_ten_of_each_and_counts_the_rest():
    captions = {
        split: {f"{split[0]}{i}.wav": [f"caption {i:02d}"] for i in range(13)}
        for split in (DEVELOPMENT, EVALUATION)
    }
    lines = leakage.listing(find(captions)).splitlines()
    assert lines[0] == "development and evaluation: 13 captions"
    assert lines[1] == "  - caption 00: 'd0.wav' and 'e0.wav'"
    assert lines[-1] == "  ... and 3 more"
    assert len(lines) == 12


def test_the_script_prints_and_writes_the_audit(data_set, capsys):
    load_script("audit_leakage").main(options(data_set))
    printed = capsys.readouterr().out
    assert "development: 2 clips of 4 without sound id" in printed
    assert "development and evaluation: 1 sound id\n" in printed
    summary = "8 shared between splits, 1 within a split; 4 clips proposed for exclusion"
    assert printed.splitlines()[-1].startswith(summary)
    processed = data_set.parent / "processed"
    assert sorted(path.name for path in processed.iterdir()) == [
        "excluded_clips.txt",
        "leakage.csv",
    ]
    assert (processed / "excluded_clips.txt").read_bytes().decode() == (
        "development/ edge.wav\ndevelopment/Tom &amp; Jerry .wav\n"
        "development/everywhere.wav\nvalidation/everywhere.wav\n"
    )
    with (processed / "leakage.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["kind", "split_1", "file_1", "split_2", "file_2", "key"]
    assert len(rows) == 11
    clips = [DEVELOPMENT, "Tom &amp; Jerry .wav", EVALUATION, "Tom__amp_ Jerry.wav"]
    assert ["sound id", *clips, "0077"] in rows


def test_the_script_goes_on_without_metadata(data_set, capsys):
    (data_set / "clotho_metadata_validation.csv").unlink()
    load_script("audit_leakage").main(options(data_set))
    printed = capsys.readouterr().out
    assert "no clotho_metadata_validation.csv: a sound that has another name" in printed
    assert "4 clips proposed" in printed


def test_the_script_says_what_is_clean(tmp_path, capsys):
    folder = tmp_path / "clotho"
    write_captions(folder, {split: {f"{split}.wav": [split, "!"]} for split in SPLITS})
    load_script("audit_leakage").main(options(folder))
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("0 shared between splits, 0 within a split; 0 clips proposed")
    assert (tmp_path / "processed/excluded_clips.txt").read_bytes() == b""


def test_the_script_writes_only_what_has_changed(data_set, capsys):
    script = load_script("audit_leakage")
    script.main(options(data_set))
    assert "\nwrites " in capsys.readouterr().out
    script.main(options(data_set))
    assert "\nwrites " not in capsys.readouterr().out


def test_the_command_runs_from_any_folder_and_exits_cleanly(data_set, tmp_path):
    command = [sys.executable, str(SCRIPT)]
    fine = subprocess.run([*command, *options(data_set)], cwd=tmp_path, capture_output=True)
    assert (fine.returncode, fine.stderr) == (0, b"")
    bad = subprocess.run([*command, *options(tmp_path / "no")], cwd=tmp_path, capture_output=True)
    assert bad.returncode == 2
    assert b"error: no " in bad.stderr
    assert b"Traceback" not in bad.stderr


def test_the_script_compares_audiocaps_where_it_is_there(data_set, capsys):
    folder = data_set.parent / "audiocaps"
    load_script("audit_leakage").main(options(data_set))
    assert "no AudioCaps in" in capsys.readouterr().out
    (folder / "audio/train").mkdir(parents=True)
    (folder / "audio/train/sharedvideo_10.flac").touch()
    header = "audiocap_id,youtube_id,start_time,caption\n"
    (folder / "train.csv").write_text(f"{header}1,sharedvideo,10,rain FALLS\n2,ownvideo_tr,0,x\n")
    (folder / "val.csv").write_text(f"{header}3,ownvideo_va,0,y\n")
    (folder / "test.csv").write_text(f"{header}4,sharedvideo,30,z\n")
    load_script("audit_leakage").main(options(data_set))
    printed = capsys.readouterr().out
    assert "train, val and test are AudioCaps'" in printed
    assert "train and test: 1 sound id\n  - sharedvideo: 'sharedvideo_10.flac' and " in printed
    assert "train and evaluation: 1 caption\n  - rain falls: 'sharedvideo_10.flac' and " in printed
    # The clip of the test split stays; the name is the one that training knows the other by.
    excluded = (data_set.parent / "processed/excluded_clips.txt").read_text().splitlines()
    assert [clip for clip in excluded if clip.startswith("t")] == ["train/sharedvideo_10.flac"]


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


@pytest.fixture(scope="module")
def real(shared_data):
    folder = shared_data / "clotho"
    captions = {s: clotho.read_captions_csv(folder / f"clotho_captions_{s}.csv") for s in SPLITS}
    ids = {s: leakage.read_metadata_csv(folder / f"clotho_metadata_{s}.csv") for s in SPLITS}
    return captions, ids, leakage.find_shared(captions, ids)


def test_metadata_of_clotho_name_every_clip(real):
    captions, ids, _ = real
    for split, unknown in zip(SPLITS, (8, 6, 5), strict=True):
        assert ids[split].keys() == captions[split].keys()
        assert len(leakage.without_sound(captions[split], ids[split])) == unknown


def test_what_splits_of_clotho_share(real):
    captions, ids, shared = real
    table = leakage.counts_table(shared, captions, ids).splitlines()[1:]
    assert [line.split()[-3:] for line in table] == [
        ["1", "2", "3"],
        ["1", "1", "13"],
        ["2", "2", "1"],
        ["-", "1", "16"],
        ["-", "0", "0"],
        ["-", "0", "0"],
    ]
    assert {one.key for one in of_kind(shared, "file name")} == {
        "City Ambience w_ Car Passing_1-2.wav",
        "FREEZER_DOOR_OPEN_CLOSE.wav",
        "01 A pug struggles to breathe 1_14_2008.wav",
        "Bus(Drive_Reverse)_1-2.wav",
    }
    assert {one.key: one.splits for one in of_kind(shared, "sound id")} == {
        "86163": (DEVELOPMENT, VALIDATION),
        "130603": (DEVELOPMENT, VALIDATION),
        "137692": (DEVELOPMENT, EVALUATION),
        "66304": (VALIDATION, EVALUATION),
        "86161": (VALIDATION, EVALUATION),
        "130597": (DEVELOPMENT, DEVELOPMENT),
    }


def test_captions_of_clotho_that_belong_to_several_clips(real):
    within = [one for one in real[2] if one.splits == (DEVELOPMENT, DEVELOPMENT)]
    clips = {one.key: one.items[0] for one in of_kind(within, "caption")}
    assert sorted(map(len, clips.values())) == [2] * 15 + [3]
    assert clips["a large industrial machine whirring inside of a room"] == (
        "Fan_Ventilation_Stereo 4.wav",
        "Roller-shutterdoor.wav",
        "WasherEndofRestCycleStartFill-WashCycle.wav",
    )


def test_clips_of_clotho_proposed_for_exclusion(real):
    assert leakage.proposed_exclusions(real[2]) == [
        "development/City Ambience w_ Car Passing_1-2.wav",
        "development/FREEZER_DOOR_OPEN_CLOSE.wav",
        "development/Greek Chat2 - (Apollonia&#39;s sPA) 18_44 05.10.wav",
        "validation/01 A pug struggles to breathe 1_14_2008.wav",
        "validation/Bus(Drive_Reverse)_1-2.wav",
    ]


def test_a_clip_of_clotho_with_the_captions_of_another(real):
    pages, engine = "Leafing through papers.wav", "Leaf Blower.wav"
    captions = [one for one in of_kind(real[2], "caption") if (pages, engine) in one.pairs]
    assert {one.splits for one in captions} == {(DEVELOPMENT, EVALUATION)}
    assert len(captions) == 3
