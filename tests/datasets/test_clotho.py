import random

import pytest

from tests.support import write_captions
from utils.datasets import clotho, sound_checks
from utils.runtime.errors import InputError

# One of each oddity that Clotho's own names have.
ODD_NAMES = [
    " Ambience Birds.wav",
    "Breaking Glass .wav",
    "&quot;BCat Bites a Bit&quot; .wav",
    "Chris&#39; Elevator.wav",
    "Rain, Cracking,  Rumbling .wav",
    "a#b [c] 100% d@e!~.wav",
    "KOOKABURRA..WAV.wav",
    "x" * 129 + ".wav",
]


def touch(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"")
    return folder


@pytest.mark.parametrize("captions", [1, 5, 12])
def test_names_come_verbatim_and_in_order_with_any_number_of_captions(tmp_path, captions):
    table = {name: [f"{i}, {n}" for n in range(captions)] for i, name in enumerate(ODD_NAMES)}
    write_captions(tmp_path, "development", table)
    read = clotho.read_captions_csv(tmp_path / "clotho_captions_development.csv")
    assert list(read.items()) == list(table.items())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("caption_1,file_name\nx,a.wav\n", "line 1: the header is 'caption_1,file_name'"),
        ("file_name,caption_1,caption_3\na.wav,x,y\n", "line 1: the header is"),
        ("file_name,caption_1\n,x\n", r"line 2: '' does not end in \.wav"),
        ("file_name,caption_1\na.mp3,x\n", r"line 2: 'a\.mp3' does not end in \.wav"),
        ("file_name,caption_1\n../a.wav,x\n", r"line 2: '\.\./a\.wav' is not a plain file name"),
        ("file_name,caption_1\nb\\a.wav,x\n", r"line 2: 'b\\\\a\.wav' is not a plain file name"),
        ("file_name,caption_1\n..,x\n", r"line 2: '\.\.' is not a plain file name"),
        ("file_name,caption_1\na\0.wav,x\n", r"line 2: 'a\\x00\.wav' is not a plain file name"),
    ],
)
def test_wrong_files_are_refused(tmp_path, content, message):
    path = tmp_path / "captions.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=message) as error:
        clotho.read_captions_csv(path)
    assert str(path) in str(error.value)


def test_all_problems_come_in_one_message(tmp_path):
    table = {"a.wav": ["two\nlines", "y"], **{f"{i}.mp3": ["", "x"] for i in range(6)}}
    write_captions(tmp_path, "test", table)
    with pytest.raises(InputError) as error:
        clotho.read_captions_csv(tmp_path / "clotho_captions_test.csv")
    message = str(error.value)
    assert message.startswith("12 problems in ")
    assert "line 4: '0.mp3' does not end in .wav" in message  # the record before has two lines
    assert "line 8: caption_1 of '4.mp3' is empty" in message
    assert "5.mp3" not in message
    assert "... and 2 more" in message


@pytest.mark.parametrize(
    ("name", "on_disk"),
    [
        ("foo .wav", "foo.wav"),
        ("foo.wav", "foo .wav"),
        (" foo.wav", "foo.wav"),
        ("foo.wav", "  foo  .wav"),
        ("foo.wav", "foo.WAV"),
        ("a: b.wav", "a_b.wav"),
        ("a_b.wav", "a : b.wav"),
        ("caf\xe9.wav", "cafe\u0301.wav"),
        ("cafe\u0301 .wav", "caf\xe9.WAV"),
    ],
)
def test_find_audio_across_tools_that_change_names(tmp_path, name, on_disk):
    touch(tmp_path, on_disk, "other.wav")
    assert clotho.find_audio(tmp_path, [name]) == {name: tmp_path / on_disk}


def test_find_audio_prefers_the_exact_name_and_uses_no_file_twice(tmp_path):
    touch(tmp_path, "foo.wav", "foo .wav")
    assert clotho.find_audio(tmp_path, ["foo .wav"]) == {"foo .wav": tmp_path / "foo .wav"}
    (tmp_path / "foo .wav").unlink()
    found = clotho.find_audio(tmp_path, ["foo .wav", "foo.wav"])
    assert found == {"foo.wav": tmp_path / "foo.wav"}


def test_two_files_whose_names_look_the_same_are_refused(tmp_path):
    touch(tmp_path, "caf\xe9.wav", "cafe\u0301.wav", "cafe.wav")
    message = r"1 problem in .*\n  - 'cafe\\u0301\.wav' and 'caf\\xe9\.wav'\nThese names look the"
    for names in ([], ["caf\xe9.wav"]):
        with pytest.raises(InputError, match=message):
            clotho.find_audio(tmp_path, names)


def test_two_names_in_captions_that_look_the_same_are_refused(tmp_path):
    write_captions(tmp_path, "test", {"caf\xe9.wav": ["x"], "cafe\u0301.wav": ["y"]})
    with pytest.raises(InputError, match=r"line 3: .* is already on line 2"):
        clotho.read_captions_csv(tmp_path / "clotho_captions_test.csv")


def test_find_audio_refuses_what_it_would_have_to_guess(tmp_path):
    touch(tmp_path, "foo.wav", " foo.wav")
    with pytest.raises(InputError, match=r"'foo \.wav' could be ' foo\.wav' or 'foo\.wav'"):
        clotho.find_audio(tmp_path, ["foo .wav"])
    (tmp_path / " foo.wav").unlink()
    with pytest.raises(InputError, match=r"' foo\.wav' or 'foo \.wav' could be 'foo\.wav'"):
        clotho.find_audio(tmp_path, ["foo .wav", " foo.wav"])


def test_find_audio_does_not_unescape_html(tmp_path):
    touch(tmp_path, "a&b.wav")
    assert clotho.find_audio(tmp_path, ["a&amp;b.wav"]) == {}


def test_all_that_ends_in_wav_counts(tmp_path):
    touch(tmp_path, "a.wav", "B.WAV", "c.mp3", "wav", "._a.wav")
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "link.wav").symlink_to("a.wav")
    (tmp_path / "broken.wav").symlink_to("nowhere")
    names = ["B.WAV", "a.wav", "broken.wav", "folder.wav", "link.wav"]
    assert sound_checks.list_wavs(tmp_path) == names  # those that cannot be used are reported later


def test_find_audio_does_not_depend_on_the_order_of_names(tmp_path):
    files = {name: name.replace("s .wav", "s.wav") for name in [*ODD_NAMES, "cars .wav", "c.wav"]}
    touch(tmp_path, *files.values())
    names = list(files)
    for _ in range(2):
        found = clotho.find_audio(tmp_path, iter(names))
        assert list(found.items()) == [(name, tmp_path / files[name]) for name in names]
        random.Random(0).shuffle(names)


def test_require_audio_finds_all_or_says_what_is_missing(tmp_path):
    touch(tmp_path, "a.wav", "b.wav")
    paths = [tmp_path / "b.wav", tmp_path / "a.wav"]
    assert clotho.require_audio(tmp_path, ["b.wav", " a.wav"]) == paths
    with pytest.raises(
        InputError, match=r"2 wavs of 3 not in .*\n  - 'c\.wav'\n  - 'd\.wav'\n.*01_"
    ):
        clotho.require_audio(tmp_path, ["c.wav", "b.wav", "d.wav"])


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError, match=r"cannot list the wavs of .*none: No such file"):
        clotho.find_audio(tmp_path / "none", [])


def test_blank_captions_are_accepted_only_where_asked(tmp_path):
    table = {
        "a.wav": ["one", "two", "three"],
        "b.wav": ["four", "", " "],
        "c.wav": ["", "five", ""],
    }
    write_captions(tmp_path, "test", table)
    path = tmp_path / "clotho_captions_test.csv"
    given = {"a.wav": ["one", "two", "three"], "b.wav": ["four"], "c.wav": ["five"]}
    assert clotho.read_captions_csv(path, blank_captions=True) == given
    with pytest.raises(InputError, match=r"4 problems .*\n  - line 3: caption_2 of 'b\.wav' is e"):
        clotho.read_captions_csv(path)
    write_captions(tmp_path, "test", table | {"d.wav": ["", " ", ""]})
    with pytest.raises(InputError, match=r"1 problem .*\n  - line 5: 'd\.wav' has no caption"):
        clotho.read_captions_csv(path, blank_captions=True)
