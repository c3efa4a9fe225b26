import errno
import io
import os
import random
import struct

import pytest
import soundfile

from tests.audio.forms import by_ffmpeg, by_soundfile
from utils.audio.metadata import Marker, read_metadata
from utils.audio.metadata.gathering import decoded
from utils.audio.sound_file import UnusableSound
from utils.runtime.errors import UnreadableError

RATE = 48_000
FMT = struct.pack("<HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16)
IXML = """<?xml version="1.0" encoding="UTF-8"?>
<BWFXML><IXML_VERSION>1.61</IXML_VERSION><PROJECT>Storm &amp; Sea</PROJECT><SCENE>12A</SCENE>
<TAKE>3</TAKE><TAPE>2026-11-28</TAPE><NOTE>plane at the end</NOTE>
<TRACK_LIST><TRACK_COUNT>2</TRACK_COUNT><TRACK><CHANNEL_INDEX>1</CHANNEL_INDEX><NAME>Boom</NAME>
</TRACK><TRACK><CHANNEL_INDEX>2</CHANNEL_INDEX><NAME>Lav Zoë</NAME></TRACK></TRACK_LIST>
<USER><CATID>DOGBark</CATID><FXNAME>Big Dog</FXNAME><KEYWORDS>dog, angry</KEYWORDS></USER>
</BWFXML>"""


def chunk(name: bytes, content: bytes, *, size: int | None = None, order: str = "<") -> bytes:
    head = name + struct.pack(order + "I", len(content) if size is None else size)
    return head + content + bytes(len(content) % 2)


def wav(*chunks: bytes, kind: bytes = b"RIFF", fmt: bytes = FMT, samples: int = 4) -> bytes:
    body = b"WAVE" + chunk(b"fmt ", fmt) + chunk(b"data", bytes(2 * samples)) + b"".join(chunks)
    return kind + struct.pack("<I", len(body)) + body


def bext(description: bytes = b"", date: bytes = b"", samples: int = 0, history: bytes = b""):
    fixed = struct.pack(
        "<256s32s32s10s8sQH254s", description, b"Recorder", b"R1", date, b"", samples, 1, b""
    )
    return chunk(b"bext", fixed + history)


def info(**texts: bytes) -> bytes:
    entries = (chunk(name.encode(), text) for name, text in texts.items())
    return chunk(b"LIST", b"INFO" + b"".join(entries))


def cues(*positions: int) -> bytes:
    points = (
        struct.pack("<II4sIII", number + 1, position, b"data", 0, 0, position)
        for number, position in enumerate(positions)
    )
    return chunk(b"cue ", struct.pack("<I", len(positions)) + b"".join(points))


def labels(*entries: tuple[bytes, int, bytes]) -> bytes:
    texts = (chunk(name, struct.pack("<I", number) + text) for name, number, text in entries)
    return chunk(b"LIST", b"adtl" + b"".join(texts))


@pytest.fixture
def read(tmp_path):
    def read(content: bytes, name: str = "a.wav"):
        (tmp_path / name).write_bytes(content)
        return read_metadata(tmp_path / name)

    return read


def test_a_broadcast_wav_tells_who_made_it_and_when_it_begins(read):
    found = read(wav(bext(b"Rain, tin roof", b"2026:11:28", 60 * RATE + 1, b"A=PCM,F=48000\r\n")))
    assert found.fields == (
        ("description", "Rain, tin roof"),
        ("originator", "Recorder"),
        ("originator_reference", "R1"),
        ("date", "2026-11-28"),
        ("time_reference", "60.000021"),
        ("coding_history", "A=PCM,F=48000"),
    )
    assert found.notes == ()


def test_a_time_reference_of_a_day_at_192_khz_is_exact_to_a_sample(read):
    samples = 24 * 3600 * 192_000 - 1
    fmt = struct.pack("<HHIIHH", 1, 1, 192_000, 0, 2, 16)
    fields = dict(read(wav(bext(samples=samples), fmt=fmt)).fields)
    assert round(float(fields["time_reference"]) * 192_000) == samples


def test_zeros_for_a_date_are_none(read):
    assert "date" not in dict(read(wav(bext(date=b"0000-00-00"))).fields)


def test_ixml_tells_project_scene_take_and_tracks(read):
    fields = read(wav(chunk(b"iXML", IXML.encode()))).fields
    assert fields == (
        ("project", "Storm & Sea"),
        ("scene", "12A"),
        ("take", "3"),
        ("tape", "2026-11-28"),
        ("note", "plane at the end"),
        ("track_name", "Boom"),
        ("track_name", "Lav Zoë"),
        ("cat_id", "DOGBark"),
        ("fx_name", "Big Dog"),
        ("keywords", "dog, angry"),
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1"])
def test_ixml_is_read_in_the_encoding_that_it_declares(read, encoding):
    text = IXML.replace("UTF-8", encoding.upper()).encode(encoding)
    assert ("track_name", "Lav Zoë") in read(wav(chunk(b"iXML", text + b"\0\0"))).fields


def test_entities_of_ixml_are_not_expanded(read):
    bomb = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
    text = f'<!DOCTYPE B [<!ENTITY e0 "ha">{bomb}]><B><SCENE>&e9;</SCENE></B>'
    found = read(wav(chunk(b"iXML", text.encode()), info(INAM=b"Rain")))
    assert found.fields == (("title", "Rain"),)
    assert found.notes == (
        "iXML at byte 60: a document type, which may define entities, is not read",
    )


def test_of_damaged_ixml_the_texts_before_the_damage_are_read(read):
    found = read(wav(chunk(b"iXML", IXML[:150].encode())))
    assert ("project", "Storm & Sea") in found.fields
    assert "is not valid XML" in found.notes[0]


def test_deeply_nested_ixml_is_noted(read):
    found = read(wav(chunk(b"iXML", b"<A>" * 100_000)))
    assert "nested more than 100 deep" in found.notes[0]


def test_ixml_in_an_unknown_encoding_is_noted(read):
    found = read(wav(chunk(b"iXML", b'<?xml version="1.0" encoding="klingon"?><A/>')))
    assert found.fields == ()
    assert "iXML at byte 60" in found.notes[0]


def test_info_has_its_usual_names_and_others_keep_theirs(read):
    found = read(wav(info(INAM=b"Rain\0", ISFT=b"Editor", IKEY=b"wet; loud", IARL=b"Shelf 3")))
    assert found.fields == (
        ("title", "Rain"),
        ("software", "Editor"),
        ("keywords", "wet; loud"),
        ("iarl", "Shelf 3"),
    )


@pytest.mark.parametrize(
    "text",
    [
        "Gerät öffnet",
        "録音".encode(),
        "Gerät öffnet".encode("cp1252"),
        "Gerät öffnet".encode("utf-16"),
        "Gerät öffnet".encode("utf-16-le"),
        "Gerät öffnet".encode("utf-16-be"),
        "Gerät öffnet".encode("utf-8-sig"),
    ],
)
def test_texts_are_read_in_the_encoding_that_they_seem_to_have(read, text):
    content = text.encode() if isinstance(text, str) else text
    (field,) = read(wav(info(INAM=content + b"\0\0"))).fields
    assert field[1] in ("Gerät öffnet", "録音")


def test_bytes_that_no_encoding_has_are_no_error():
    assert decoded(b"a\x81\x8d") == "a\x81\x8d"
    assert decoded(b"\xff\xfea") == "\ufffd"


def test_control_characters_become_spaces_and_lines_stay(read):
    assert read(wav(info(ICMT=b"one\r\ntwo\x07\x1b[2J three"))).fields == (
        ("comment", "one\ntwo [2J three"),
    )


def test_cues_are_markers_with_their_labels(read):
    place = labels((b"labl", 2, b"door\0"), (b"note", 2, b"slams\0"), (b"labl", 1, b"rain\0"))
    found = read(wav(cues(RATE // 2, 2 * RATE, 3 * RATE), place))
    assert found.markers == (
        Marker(0.5, "rain"),
        Marker(2.0, "door"),
        Marker(2.0, "slams"),
        Marker(3.0, ""),
    )


def test_a_label_before_its_cue_and_one_without_are_found(read):
    found = read(wav(labels((b"labl", 1, b"rain"), (b"labl", 9, b"lost")), cues(RATE)))
    assert found.markers == (Marker(1.0, "rain"),)
    assert found.fields == (("marker", "lost"),)


def test_a_region_has_the_text_of_its_ltxt(read):
    text = struct.pack("<I4s4H", RATE, b"rgn ", 0, 0, 0, 0) + b"thunder"
    assert read(wav(cues(RATE), labels((b"ltxt", 1, text)))).markers == (Marker(1.0, "thunder"),)


def test_an_id3_chunk_is_read(read):
    tag = io.BytesIO()
    from mutagen.id3 import ID3, TIT2

    tags = ID3()
    tags.add(TIT2(encoding=3, text="Rain"))
    tags.save(tag)
    assert read(wav(chunk(b"id3 ", tag.getvalue()))).fields == (("title", "Rain"),)


def test_the_sound_is_never_read(tmp_path, monkeypatch):
    """A header of 64 bits, 5 GB of sound as a hole, then chunks."""
    size = 5 * 2**30
    ds64 = chunk(
        b"ds64", struct.pack("<QQQI4sQ", size + 1000, size, size // 2, 1, b"long", 2**32 + 2)
    )
    head = b"RF64" + b"\xff" * 4 + b"WAVE" + ds64 + chunk(b"fmt ", FMT)
    path = tmp_path / "a.wav"
    with path.open("wb") as file:
        file.write(head + b"data" + b"\xff" * 4)
        file.seek(size, os.SEEK_CUR)
        file.write(b"long" + b"\xff" * 4)
        file.seek(2**32 + 2, os.SEEK_CUR)
        file.write(bext(b"Rain", samples=RATE) + info(INAM=b"Tin roof"))
    read, pread = [], os.pread
    monkeypatch.setattr(os, "pread", lambda n, c, p: read.append(c) or pread(n, c, p))
    found = read_metadata(path)
    assert ("description", "Rain") in found.fields
    assert ("title", "Tin roof") in found.fields
    assert found.notes == ()
    assert sum(read) < 100_000


def test_wave64_is_read(read):
    def guid(name):
        return name + bytes.fromhex("f3acd3118cd100c04f8edb8a")

    def long_chunk(name, content):
        size = 24 + len(content)
        return guid(name) + struct.pack("<q", size) + content + bytes(-size % 8)

    riff = b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000")
    body = long_chunk(b"fmt ", FMT) + long_chunk(b"data", bytes(6))
    body += long_chunk(b"bext", bext(b"Rain")[8:])
    found = read(riff + struct.pack("<q", 40 + len(body)) + guid(b"wave") + body, "a.w64")
    assert found.fields[0] == ("description", "Rain")
    assert found.notes == ()


def test_wave64_of_libsndfile_is_read_without_notes(read):
    assert read(by_soundfile("W64", "PCM_16"), "a.w64") == ((), (), ())


def test_rf64_of_libsndfile_tells_its_title(tmp_path):
    with soundfile.SoundFile(tmp_path / "a.rf64", "w", RATE, 1, "PCM_16", format="RF64") as sound:
        sound.title = "Rain"
    assert ("title", "Rain") in read_metadata(tmp_path / "a.rf64").fields


def test_chunks_in_front_of_the_sound_count_too(read):
    content = wav()
    assert read(content[:12] + bext(b"Rain") + content[12:]).fields[0] == ("description", "Rain")


@pytest.mark.parametrize(
    ("chunks", "note"),
    [
        (
            [chunk(b"bext", b"Rain", size=602)],
            "bext at byte 60 is 602 bytes long, but the file ends",
        ),
        (
            [chunk(b"bext", b"Rain")],
            "bext at byte 60 is 4 bytes long, and should have at least 602",
        ),
        ([chunk(b"bext", b"")], "bext at byte 60 is 0 bytes long"),
        ([bext(b"Rain"), bext(b"Rain")], "2 chunks are called bext; all are read"),
        (
            [chunk(b"LIST", b"INFO" + chunk(b"INAM", b"Rain", size=99))],
            "INAM at byte 12 is 99 bytes",
        ),
        ([chunk(b"cue ", struct.pack("<I", 2**31))], "should have 2147483648 cues, and has 0"),
        ([chunk(b"cue ", b"\1")], "cue at byte 60 should have 1 cues, and has 0"),
        ([chunk(b"id3 ", b"ID3\4\0\0\0\0\0\x0aTIT2")], "the ID3 tag cannot be read"),
        ([b"\x00\x01\x02\x03garbage"], "no chunk begins at byte 52; the rest of the file"),
        ([chunk(b"LIST", b"INFO" + b"\1\2\3\4\5\6\7\x08\x09")], "the rest of LIST at byte 60"),
    ],
)
def test_what_is_damaged_is_noted_with_its_place(read, chunks, note):
    found = read(wav(*chunks))
    assert any(note in text for text in found.notes), found.notes


def test_damage_in_one_chunk_leaves_the_others_readable(read):
    broken = [chunk(b"iXML", b"<A"), chunk(b"bext", b"short"), chunk(b"LIST", b"INFO\0\0")]
    found = read(wav(*broken, info(INAM=b"Rain"), cues(RATE)))
    assert ("title", "Rain") in found.fields
    assert found.markers == (Marker(1.0, ""),)


@pytest.mark.parametrize(
    "content", [b"", b"\0", b"RI", b"RIFF\0\0\0\0WAVE", b"RF64\0\0\0\0WAVE", b"FORM\0\0\0\0AIFF"]
)
def test_hardly_a_file_at_all_has_no_metadata(read, content):
    assert read(content)[:2] == ((), ())


def test_an_odd_chunk_without_its_padding_is_no_hindrance(read):
    odd = chunk(b"LIST", b"INFO" + b"INAM\5\0\0\0Sleet" + b"IART\2\0\0\0me")
    assert read(wav(odd)).fields == (("title", "Sleet"), ("artist", "me"))
    assert read(wav() + b"junk\3\0\0\0abc" + info(INAM=b"Rain")).fields == (("title", "Rain"),)
    twice = wav() + b"junk\3\0\0\0abc" + info(INAM=b"x" * 60) + info(IART=b"me")
    assert dict(read(twice).fields) == {"title": "x" * 60, "artist": "me"}


def test_markers_without_a_sample_rate_are_noted(read):
    content = wav(cues(1)).replace(chunk(b"fmt ", FMT), b"")
    assert read(content).notes == ("cue at byte 36 cannot be read without a sample rate",)


def test_long_texts_are_cut_and_noted(read):
    found = read(wav(info(ICMT=b"x" * 20_000)))
    assert len(found.fields[0][1]) == 10_000
    assert found.notes == ("comment has 20000 characters; the first 10000 are read",)


def test_enormous_chunks_are_read_in_part_and_noted(read):
    found = read(wav(bext(b"Rain", history=b"x" * 3_000_000)))
    assert "the first 1048576 are read" in found.notes[0]
    assert found.fields[0] == ("description", "Rain")


def test_all_chunks_together_are_read_in_part_and_noted(read):
    notes = read(wav(*[chunk(b"iXML", b" " * 2**20)] * 18, info(INAM=b"Rain"))).notes
    assert any("LIST at" in note and "the first 0 are read" in note for note in notes)


@pytest.mark.parametrize(
    ("chunks", "note"),
    [
        ([chunk(b"junk", b"")] * 6000, "the file has more than 5000 chunks"),
        ([info(**{f"I{n:03}": b"%d" % n for n in range(900)})], "there are more than 500 texts"),
        ([cues(*range(6000))], "there are more than 5000 markers"),
    ],
)
def test_floods_are_stopped_and_noted(read, chunks, note):
    found = read(wav(*chunks))
    assert any(note in text for text in found.notes)


def test_the_same_text_twice_is_one(read):
    assert read(wav(info(INAM=b"Rain"), info(INAM=b"Rain"))).fields == (("title", "Rain"),)


def big(name: bytes, content: bytes) -> bytes:
    return chunk(name, content, order=">")


def aiff(*chunks: bytes) -> bytes:
    rate = struct.pack(">HQ", 16383 + 15, 48_000 << 48)
    common = big(b"COMM", struct.pack(">HIH", 1, 0, 16) + rate)
    body = b"AIFF" + common + b"".join(chunks) + big(b"SSND", bytes(8))
    return b"FORM" + struct.pack(">I", len(body)) + body


def test_an_aiff_tells_texts_comments_and_markers(read):
    marks = struct.pack(">HHIB5sHIB4sx", 2, 1, 24_000, 5, b"start", 2, 48_000, 4, b"door")
    comments = struct.pack(">HIHH3sxIHH4s", 2, 0, 0, 3, b"wet", 0, 1, 4, b"loud")
    texts = [(b"NAME", b"Rain"), (b"AUTH", b"me"), (b"(c) ", b"2026 me"), (b"ANNO", b"tin")]
    found = read(
        aiff(*(big(*text) for text in texts), big(b"MARK", marks), big(b"COMT", comments)), "a.aif"
    )
    assert found.fields == (
        ("title", "Rain"),
        ("artist", "me"),
        ("copyright", "2026 me"),
        ("comment", "tin"),
        ("comment", "wet"),
        ("comment", "loud"),
    )
    assert found.markers == (Marker(0.5, "start"), Marker(1.0, "door"))
    assert found.notes == ()


@pytest.mark.parametrize(
    ("name", "content", "note"),
    [
        (b"MARK", struct.pack(">HHIB", 3, 1, 0, 0), "should have 3 markers, and has 1"),
        (b"COMT", struct.pack(">HIHH", 2, 0, 0, 9) + b"wet", "should have 2 comments, and ends"),
    ],
)
def test_damage_in_an_aiff_is_noted(read, name, content, note):
    assert note in read(aiff(big(name, content)), "a.aif").notes[0]


def test_a_missing_file_and_a_disk_without_answer_are_errors(tmp_path, monkeypatch):
    with pytest.raises(UnusableSound, match="cannot be read as sound"):
        read_metadata(tmp_path / "gone.wav")
    (tmp_path / "a.wav").write_bytes(wav())
    (tmp_path / "a.mp3").write_bytes(b"ID3" + bytes(200))

    def fail(*_):
        raise OSError(errno.EIO, "fails")

    monkeypatch.setattr(os, "pread", fail)
    for name in ("a.wav", "a.mp3"):
        with pytest.raises(UnreadableError, match="does not answer"):
            read_metadata(tmp_path / name)


def test_a_file_that_is_open_already_is_read(tmp_path):
    (tmp_path / "a.wav").write_bytes(wav(info(INAM=b"Rain")))
    with (tmp_path / "a.wav").open("rb") as file:
        assert read_metadata(tmp_path / "other name.wav", source=file).fields[0][1] == "Rain"


@pytest.mark.parametrize("form", ["wav", "aiff", "flac", "ogg", "mp3", "m4a"])
def test_no_damage_is_an_exception(tmp_path, form):
    make = {
        "wav": lambda: wav(
            bext(b"Rain"), chunk(b"iXML", IXML.encode()), info(INAM=b"Rain"), cues(1)
        ),
        "aiff": lambda: aiff(big(b"NAME", b"Rain"), big(b"MARK", bytes(30))),
        "m4a": lambda: by_ffmpeg("ipod", "aac"),
    }
    content = make.get(form, lambda: by_soundfile(form.upper()))()
    rng = random.Random(0)
    for _ in range(60):
        damaged = bytearray(content[: rng.randrange(len(content)) if rng.random() < 0.3 else None])
        for _ in range(rng.choice([1, 3, 10]) if damaged else 0):
            damaged[rng.randrange(min(len(damaged), 1000))] = rng.randrange(256)
        (tmp_path / f"a.{form}").write_bytes(damaged)
        read_metadata(tmp_path / f"a.{form}")
