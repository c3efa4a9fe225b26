import io
from fractions import Fraction

import av
import mutagen
import numpy as np
import pytest
from mutagen import apev2, flac, id3, mp4

from tests.audio.forms import by_ffmpeg, by_soundfile
from tests.support import run_python
from utils.audio.metadata import Marker, read_metadata, tags

FIELDS = {"title": "Rain", "artist": "Zoë", "album": "Roofs", "genre": "Field", "date": "2026"}


@pytest.fixture
def tagged(tmp_path):
    """Write a sound, let a function change its tags, and read them."""

    def tagged(name: str, content: bytes, change=lambda sound: None):
        path = tmp_path / name
        path.write_bytes(content)
        sound = mutagen.File(path)
        if sound.tags is None:
            sound.add_tags()
        change(sound)
        sound.save()
        return read_metadata(path)

    return tagged


def add(*pairs):
    def change(sound):
        for key, value in pairs:
            sound[key] = value

    return change


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("a.flac", lambda: by_soundfile("FLAC")),
        ("a.ogg", lambda: by_soundfile("OGG", "VORBIS")),
        ("a.opus", lambda: by_ffmpeg("ogg", "libopus", rate=48_000)),
        ("a.oga", lambda: by_ffmpeg("ogg", "flac")),
    ],
)
def test_vorbis_comments_have_the_usual_names(tagged, name, make):
    pairs = [(key.upper(), value) for key, value in FIELDS.items()]
    pairs += [
        ("DESCRIPTION", ["wet", "loud"]),
        ("REPLAYGAIN_TRACK_GAIN", "-3 dB"),
        ("SCENE", "12A"),
    ]
    found = tagged(name, make(), add(*pairs))
    fields = [field for field in found.fields if field[0] != "software"]
    assert sorted(fields) == sorted(
        [*FIELDS.items(), ("description", "wet"), ("description", "loud"), ("scene", "12A")]
    )
    assert found.notes == ()


def test_chapters_of_vorbis_comments_are_markers(tagged):
    chapters = [("CHAPTER001", "00:00:00.500"), ("CHAPTER001NAME", "door")]
    chapters += [("CHAPTER002", "01:02:03"), ("CHAPTER003", "soon")]
    found = tagged("a.flac", by_soundfile("FLAC"), add(*chapters))
    assert found.markers == (Marker(0.5, "door"), Marker(3723.0, ""))


def test_a_time_reference_in_flac_is_told_in_seconds(tagged):
    found = tagged("a.flac", by_soundfile("FLAC", rate=48_000), add(("TIME_REFERENCE", "72000")))
    assert ("time_reference", "1.5") in found.fields


def test_pictures_are_not_texts(tagged):
    def change(sound):
        picture = flac.Picture()
        picture.data = bytes(1000)
        sound.add_picture(picture)
        sound["METADATA_BLOCK_PICTURE"] = "A" * 1000

    assert tagged("a.flac", by_soundfile("FLAC"), change).fields == ()


def test_id3_of_an_mp3_tells_texts_and_chapters(tagged):
    def change(sound):
        for frame in (
            id3.TIT2(encoding=3, text="Rain"),
            id3.TPE1(encoding=1, text=["Zoë", "me"]),
            id3.TCON(encoding=3, text="(4)"),
            id3.TDRC(encoding=3, text="2026-11-28"),
            id3.COMM(encoding=3, lang="eng", desc="", text="tin roof"),
            id3.COMM(encoding=3, lang="eng", desc="iTunNORM", text=" 0000"),
            id3.TXXX(encoding=3, desc="Scene", text="12A"),
            id3.USLT(encoding=3, lang="eng", desc="", text="la la"),
            id3.APIC(encoding=3, mime="image/png", type=3, desc="", data=bytes(1000)),
            id3.CHAP(
                element_id="c1", start_time=1500, end_time=2000, start_offset=0, end_offset=0,
                sub_frames=[id3.TIT2(encoding=3, text="thunder")],
            ),
        ):  # fmt: skip
            sound.tags.add(frame)

    found = tagged("a.mp3", by_soundfile("MP3"), change)
    assert set(found.fields) >= {
        ("title", "Rain"),
        ("artist", "Zoë"),
        ("artist", "me"),
        ("genre", "Disco"),
        ("date", "2026-11-28"),
        ("comment", "tin roof"),
        ("scene", "12A"),
        ("lyrics", "la la"),
    }
    assert not any("0000" in text for _, text in found.fields)
    assert found.markers == (Marker(1.5, "thunder"),)
    assert found.notes == ()


def test_an_id3_tag_of_version_1_is_read(tmp_path):
    tag = b"TAG" + b"Rain".ljust(30, b"\0") + b"me".ljust(30, b"\0") + bytes(30) + b"2026"
    (tmp_path / "a.mp3").write_bytes(
        by_soundfile("MP3") + tag + b"tin roof".ljust(30, b"\0") + b"\xff"
    )
    assert set(read_metadata(tmp_path / "a.mp3").fields) >= {("title", "Rain"), ("date", "2026")}


def test_tags_of_mp4_have_the_usual_names(tagged):
    def change(sound):
        add(("\xa9nam", "Rain"), ("\xa9ART", ["Zoë", "me"]), ("\xa9cmt", "tin roof"))(sound)
        add(("trkn", [(1, 2)]), ("covr", [mp4.MP4Cover(bytes(1000))]))(sound)
        sound["----:com.apple.iTunes:SCENE"] = [mp4.MP4FreeForm(b"12A")]
        sound["----:com.apple.iTunes:iTunSMPB"] = [mp4.MP4FreeForm(b"0000")]

    found = tagged("a.m4a", by_ffmpeg("ipod", "aac"), change)
    assert {field for field in found.fields if field[0] != "software"} == {
        ("title", "Rain"),
        ("artist", "Zoë"),
        ("artist", "me"),
        ("comment", "tin roof"),
        ("scene", "12A"),
    }


def test_tags_of_wma_have_the_usual_names(tagged):
    pairs = [("Title", "Rain"), ("Author", "Zoë"), ("WM/AlbumTitle", "Roofs"), ("WM/Year", "2026")]
    found = tagged("a.wma", by_ffmpeg("asf", "wmav2", bit_rate=192_000), add(*pairs))
    assert set(found.fields) >= {("title", "Rain"), ("artist", "Zoë"), ("album", "Roofs")}
    assert ("date", "2026") in found.fields


def test_ape_tags_of_wavpack_have_the_usual_names(tagged):
    def change(sound):
        add(("Title", "Rain"), ("Artist", ["Zoë", "me"]), ("Year", "2026"))(sound)
        sound["Cover Art (Front)"] = apev2.APEValue(bytes(100), apev2.BINARY)

    found = tagged("a.wv", by_ffmpeg("wv", "wavpack", sample_format="s16p"), change)
    assert {field for field in found.fields if field[0] != "software"} == {
        ("title", "Rain"),
        ("artist", "Zoë"),
        ("artist", "me"),
        ("date", "2026"),
    }


@pytest.mark.parametrize("muxer", ["matroska", "caf", "avi", "mov"])
def test_ffmpeg_tells_the_tags_of_other_formats(tmp_path, muxer):
    path = tmp_path / f"a.{muxer}"
    with av.open(str(path), "w", format=muxer) as container:
        track = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        container.metadata.update(title="Rain", comment="tin roof")
        if muxer == "matroska":
            container.set_chapters(
                [{"id": 1, "start": 500, "end": 900, "time_base": Fraction(1, 1000),
                  "metadata": {"title": "door"}}]
            )  # fmt: skip
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16_000), np.int16), "s16", "mono")
        frame.sample_rate = 16_000
        container.mux([*track.encode(frame), *track.encode(None)])
    found = read_metadata(path)
    assert set(found.fields) >= {("title", "Rain"), ("comment", "tin roof")}
    assert found.markers == ((Marker(0.5, "door"),) if muxer == "matroska" else ())
    assert found.notes == ()


def test_of_a_damaged_mp3_the_tag_in_front_is_read(tmp_path):
    content = io.BytesIO()
    tag = id3.ID3()
    tag.add(id3.TIT2(encoding=3, text="Rain"))
    tag.save(content)
    (tmp_path / "a.mp3").write_bytes(content.getvalue() + b"no sound at all" * 1000)
    found = read_metadata(tmp_path / "a.mp3")
    assert found.fields == (("title", "Rain"),)
    assert found.notes == ("some tags cannot be read (can't sync to MPEG frame)",)


def test_damaged_frames_are_counted(tagged, tmp_path):
    def change(sound):
        sound.tags.add(id3.TIT2(encoding=3, text="Rain"))
        sound.tags.add(id3.TRSN(encoding=3, text="xx"))

    tagged("a.mp3", by_soundfile("MP3"), change)
    path = tmp_path / "a.mp3"
    path.write_bytes(path.read_bytes().replace(b"TRSN", b"XQQX"))
    found = read_metadata(path)
    assert ("title", "Rain") in found.fields
    assert found.notes == ("1 frames of the ID3 tag are damaged or not known",)


def test_an_enormous_tag_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(tags, "_MOST_BYTES", 1000)
    tag = b"ID3\4\0\0" + bytes([0, 0, 100, 0]) + bytes(12_800)
    (tmp_path / "a.mp3").write_bytes(tag + by_soundfile("MP3"))
    assert "they take more than 1000 bytes" in read_metadata(tmp_path / "a.mp3").notes[0]


@pytest.mark.parametrize("ending", [".wav", ".mp3", ".ogg", ".m4a", ".txt", ""])
def test_a_misleading_ending_is_no_hindrance(tagged, tmp_path, ending):
    tagged("a.flac", by_soundfile("FLAC"), add(("TITLE", "Rain")))
    found = read_metadata((tmp_path / "a.flac").rename(tmp_path / f"a{ending}"))
    assert found == ((("title", "Rain"),), (), ())


def test_a_flac_behind_an_id3_tag_tells_its_own_tags(tagged, tmp_path):
    tagged("a.flac", by_soundfile("FLAC"), add(("TITLE", "Rain")))
    path = tmp_path / "a.flac"
    path.write_bytes(b"ID3\4\0\0\0\0\0\x0a" + bytes(10) + path.read_bytes())
    assert read_metadata(path) == ((("title", "Rain"),), (), ())


def test_a_text_file_has_no_metadata(tmp_path):
    (tmp_path / "a.wav").write_text("no sound")
    assert read_metadata(tmp_path / "a.wav") == ((), (), ())


def test_mutagen_is_imported_for_tags_alone(tmp_path):
    (tmp_path / "a.wav").write_bytes(by_soundfile("WAV"))
    code = (
        "import sys, pathlib; from utils.audio.metadata import read_metadata\n"
        "read_metadata(pathlib.Path(sys.argv[1])); print('mutagen' in sys.modules)"
    )
    assert run_python(code, tmp_path / "a.wav").stdout == "False\n"
