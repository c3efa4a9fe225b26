import contextlib
import hashlib
import json
import pickle
import shutil

import pytest
import safetensors.torch
import torch
from huggingface_hub import constants

from tests.site import serving
from utils.features import weights
from utils.runtime.errors import InputError

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


def find(given, tmp_path, *, url=None, expected=None):
    return weights.find_passt_weights(
        given, url=url, bundled=tmp_path / "tagger.safetensors", sha256_expected=expected
    )


def hashed(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A site with a file of weights, the address of the file and its hash."""
    monkeypatch.setattr("utils.files.download._BACKOFF", 0.0)
    path = tmp_path / "release.pt"
    torch.save({"w": torch.ones(3)}, path)
    with serving() as site:
        site.files["net.pt"] = path.read_bytes()
        yield site, site.address("net.pt"), hashed(path)


def test_a_given_file_comes_first_and_may_be_any(tmp_path, hub):
    given = tmp_path / "mine.pt"
    given.write_bytes(b"mine")
    found = find(given, tmp_path, url=URL, expected="0" * 64)
    assert found == (given, hashed(given))
    with pytest.raises(InputError, match=r"no PaSST weights at .*gone\.pt.*passt\.weights"):
        find(tmp_path / "gone.pt", tmp_path, url=URL)


@pytest.mark.parametrize("known", [True, False])
def test_weights_are_downloaded_once_and_then_found(tmp_path, hub, published, known, capsys):
    site, url, sha256 = published
    expected = sha256 if known else None
    for _ in range(2):
        assert find(None, tmp_path, url=url, expected=expected) == (hub / "net.pt", sha256)
    assert len(site.asked) == 1
    assert [p.name for p in hub.iterdir()] == ["net.pt"]
    assert capsys.readouterr().err.startswith(f"downloading {url} to {hub}")


def test_a_download_that_broke_off_is_resumed(tmp_path, hub, published):
    site, url, sha256 = published
    hub.mkdir(parents=True)
    (hub / "net.pt.partial").write_bytes(site.files["net.pt"][:100])
    assert find(None, tmp_path, url=url, expected=sha256) == (hub / "net.pt", sha256)
    assert site.asked == [("net.pt", "bytes=100-")]


def test_a_failed_or_wrong_download_says_where_to_put_the_file_and_is_not_kept(
    tmp_path, hub, published
):
    site, url, _ = published
    with pytest.raises(InputError, match=r"does not have the published checksum .*put it at .*net"):
        find(None, tmp_path, url=url, expected="0" * 64)
    assert list(hub.iterdir()) == []
    site.files.clear()
    with pytest.raises(InputError, match=r"cannot download .*404.*put it at .*net\.pt"):
        find(None, tmp_path, url=url)


def test_a_cached_file_that_is_not_the_expected_one_is_refused(tmp_path, hub):
    hub.mkdir(parents=True)
    (hub / "net.pt").write_bytes(b"half a file")
    message = r"net\.pt has SHA-256 .* not 0000.*Move it away.* copy of it in passt\.weights"
    with pytest.raises(InputError, match=message):
        find(None, tmp_path, url=URL, expected="0" * 64)
    assert (hub / "net.pt").exists()  # it is the user's to remove


def test_the_bundled_file_is_for_networks_without_official_weights(tmp_path):
    bundled = tmp_path / "tagger.safetensors"
    bundled.write_bytes(b"b")
    assert find(None, tmp_path, expected=hashed(bundled)) == (bundled, hashed(bundled))
    with pytest.raises(InputError, match="has SHA-256"):
        find(None, tmp_path, expected="0" * 64)


@pytest.mark.parametrize("kind", ["pt", "safetensors", "hand-made safetensors"])
def test_weights_are_loaded_from_either_kind_of_file_with_any_suffix(tmp_path, kind):
    tensor, path = torch.tensor([1.0, 2.0, 3.0]), tmp_path / "w.bin"
    if kind == "pt":
        torch.save({"w": tensor}, path)
    elif kind == "safetensors":
        safetensors.torch.save_file({"w": tensor}, path)
    else:
        content = tensor.numpy().tobytes()
        path.write_bytes(safetensors_file(w=("F32", [3], [0, 12]), content=content))
    net = Net()
    weights.load_weights(net, path)
    assert net.loaded == [1, 2, 3]


def safetensors_file(*, content, **tensors):
    """Make a file with any header: type, shape and place of each tensor."""
    header = json.dumps(
        {n: {"dtype": d, "shape": s, "data_offsets": o} for n, (d, s, o) in tensors.items()}
    ).encode()
    return len(header).to_bytes(8, "little") + header + content


class Evil:
    def __reduce__(self):
        return (open, ("/nowhere/evil", "w"))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a checkpoint",
        pickle.dumps({"w": Evil()}, protocol=2),
        b"\xff" * 64,
        # A header of an exabyte, a missing one, tensors beyond the end, and larger than their data.
        (2**60).to_bytes(8, "little") + b"{}",
        (90).to_bytes(8, "little") + b"{}",
        safetensors_file(w=("F32", [3], [0, 12]), content=b""),
        safetensors_file(w=("F32", [10**12], [0, 12]), content=bytes(12)),
    ],
)
def test_damaged_and_hostile_weights_are_refused(tmp_path, content):
    (tmp_path / "w").write_bytes(content)
    with pytest.raises(InputError, match="cannot read weights from"):
        weights.load_weights(Net(), tmp_path / "w")


def test_weights_that_do_not_fit_are_refused_with_the_files_name(tmp_path):
    for content, message in (
        ({"w": torch.ones(4)}, r"w\.pt: these weights do not fit"),
        ({"w": 5}, "not a dict of tensors"),
        ([1, 2], r"w\.pt holds a list"),
    ):
        torch.save(content, tmp_path / "w.pt")
        with pytest.raises(InputError, match=message):
            weights.load_weights(Net(), tmp_path / "w.pt")


CONTENT = {name: f"content of {name}".encode() for name in weights.SENTENCE_MODEL_FILES}
SHA256 = hashlib.sha256(CONTENT["model.safetensors"]).hexdigest()


@pytest.mark.parametrize(
    ("missing", "sha256", "message"),
    [
        (None, SHA256, None),
        (None, "0" * 64, "has SHA-256"),
        ("tokenizer.json", SHA256, r"is incomplete: tokenizer\.json missing"),
        ("model.safetensors", SHA256, r"is incomplete: model\.safetensors missing"),
    ],
)
def test_a_local_folder_comes_first_and_is_checked(tmp_path, missing, sha256, message):
    for name in CONTENT.keys() - {missing}:
        (tmp_path / name).write_bytes(CONTENT[name])
    with pytest.raises(InputError, match=message) if message else contextlib.nullcontext():
        found = weights.find_sentence_model(tmp_path, name="x/y", sha256_expected=sha256)
        assert found == tmp_path


def test_an_unreachable_hub_is_one_error(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "c"))
    with pytest.raises(InputError, match=r"'no-one/nothing' cannot be downloaded.*sentence-model"):
        weights.find_sentence_model(tmp_path / "gone", name="no-one/nothing", sha256_expected="")


@pytest.fixture
def model_folder(tmp_path, sentence_model):
    """A sentence model whose files may be changed."""
    for name in weights.SENTENCE_MODEL_FILES:
        if name == "model.safetensors":
            (tmp_path / name).symlink_to((sentence_model / name).resolve())
        else:
            shutil.copy(sentence_model / name, tmp_path)
    return tmp_path


def changed(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"hidden_size": 10**9}, r"config\.json: hidden_size is 1000000000, and must be a whole"),
        ({"hidden_size": "x"}, r"config\.json: hidden_size is 'x'"),
        ({"num_hidden_layers": 10**6}, r"config\.json: num_hidden_layers is 1000000"),
        ({"vocab_size": None}, r"config\.json: vocab_size is None"),
        # Without an error, what lacks weights would get random ones.
        ({"num_hidden_layers": 6}, r"the weights do not fit config\.json: 96 are missing"),
        ({"model_type": "bert"}, r"the weights do not fit config\.json"),
        ({"hidden_size": 384}, "cannot load the sentence model"),
        ({"model_type": "mine", "auto_map": {"AutoModel": "evil.X"}}, "does not recognize"),
    ],
)
def test_a_configuration_that_does_not_fit_the_weights_is_refused(model_folder, values, message):
    changed(model_folder / "config.json", **values)
    (model_folder / "evil.py").write_text("open('canary', 'w')")
    with pytest.raises(InputError, match=message):
        weights.load_sentence_model(model_folder)
    assert not list(model_folder.rglob("canary"))


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"model": {"type": "Evil"}}'])
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_damaged_files_beside_the_weights_are_refused(model_folder, name, content):
    (model_folder / name).write_text(content)
    with pytest.raises(InputError, match=r"config\.json|cannot load the sentence model"):
        weights.load_sentence_model(model_folder)


def test_a_tokenizer_of_another_model_is_refused(model_folder):
    path = model_folder / "tokenizer.json"
    content = json.loads(path.read_text())
    content["model"]["vocab"]["hello"] = 10**6
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="the tokenizer has a token 1000000, the network 30527"):
        weights.load_sentence_model(model_folder)


def test_code_beside_the_weights_is_not_run(model_folder, monkeypatch):
    monkeypatch.chdir(model_folder)
    (model_folder / "evil.py").write_text("open('canary', 'w')")
    changed(model_folder / "config.json", auto_map={"AutoModel": "evil.X"})
    changed(
        model_folder / "tokenizer_config.json",
        auto_map={"AutoTokenizer": ["evil.X", "evil.X"]},
        tokenizer_class="evil.X",
    )
    weights.load_sentence_model(model_folder)
    assert not (model_folder / "canary").exists()
