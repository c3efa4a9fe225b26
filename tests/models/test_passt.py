import contextlib
import io
import warnings

import numpy as np
import pytest
import torch
from hear21passt.base import get_basic_model

from models import architectures, passt
from utils.audio.windows import cut_windows
from utils.features import weights
from utils.files.reading import sha256
from utils.runtime.paths import PROJECT_ROOT

OFFICIAL = "passt_s_swa_p16_128_ap476"
WEIGHTS_URL = architectures.ARCHITECTURES[OFFICIAL].weights_url


@pytest.fixture(scope="module")
def network():
    """Our network, with the weights that it is built with."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return passt.Passt(arch=OFFICIAL)


@pytest.fixture(scope="module")
def torch_home(network, tmp_path_factory):
    """A torch hub cache that holds other random weights under the official file's name."""
    home = tmp_path_factory.mktemp("torch_home")
    checkpoints = home / "hub/checkpoints"
    checkpoints.mkdir(parents=True)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        state = {
            key: value + 0.02 * torch.randn_like(value)
            for key, value in network.net.state_dict().items()
        }
    torch.save(state, checkpoints / WEIGHTS_URL.rpartition("/")[2])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(home))
        yield home


@pytest.fixture(scope="module")
def ours(network, torch_home):
    """Our network, with the weights found in the hub cache."""
    path, _ = weights.find_passt_weights(
        None,
        url=WEIGHTS_URL,
        bundled=torch_home / "none",
        sha256_expected=None,  # the weights are random
    )
    weights.load_weights(network, path)
    return network.eval()


@pytest.fixture(scope="module")
def theirs(torch_home):
    """hear21passt's own wrapper, which finds the weights in the hub cache by itself."""
    with contextlib.redirect_stdout(io.StringIO()):
        return get_basic_model(mode="all").eval()


def sound(seconds: float) -> np.ndarray:
    """Noise and tones, at a changing level."""
    samples = round(seconds * architectures.SAMPLE_RATE)
    rng = np.random.default_rng(round(100 * seconds))
    time = np.arange(samples) / architectures.SAMPLE_RATE
    tone = np.sin(2 * np.pi * (300 + 50 * time) * time)
    level = 0.3 + 0.25 * np.sin(2 * np.pi * 0.31 * time)
    return (level * (0.5 * tone + 0.3 * rng.standard_normal(samples))).astype(np.float32)


@contextlib.contextmanager
def one_block(*networks):
    """Leave networks their last block alone, which takes a tenth of the time."""
    blocks = [network.blocks for network in networks]
    for network in networks:
        network.blocks = network.blocks[-1:]
    try:
        yield
    finally:
        for network, all_of_it in zip(networks, blocks, strict=True):
            network.blocks = all_of_it


@pytest.mark.parametrize(
    ("seconds", "whole"),
    [
        (10, True),
        # The windows are the same for a network of one block.
        *((4, False), (10.01, False)),
        *(pytest.param(s, False, marks=pytest.mark.slow) for s in (22, 30)),
    ],
)
def test_features_equal_hear21passts_own_wrapper(ours, theirs, seconds, whole):
    samples = sound(seconds)
    windows = list(
        cut_windows([samples], window=ours.window, hop=ours.hop, shortest=architectures.MIN_SAMPLES)
    )
    assert len(windows) == {4: 1, 10: 1, 10.01: 5, 22: 9, 30: 13}[seconds]
    cut = contextlib.nullcontext() if whole else one_block(ours.net, theirs.net)
    with torch.inference_mode(), cut:
        outputs = [ours(torch.from_numpy(window.copy())) for window in windows]
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = theirs.get_scene_embeddings(torch.from_numpy(samples)[None])
    logits, scene = (torch.cat(parts).mean(dim=0) for parts in zip(*outputs, strict=True))
    assert logits.shape == (527,)
    assert scene.shape == (768,)
    assert logits.std() > 0.05  # random weights must not give a constant
    np.testing.assert_allclose(torch.cat([logits, scene]), expected[0], rtol=0, atol=1e-4)


def test_the_shortest_clip_passes_and_a_batch_equals_its_windows_one_by_one():
    model = passt.Passt(arch="demo").eval()
    windows = torch.from_numpy(np.stack([sound(2.0), sound(2.0)[::-1].copy()]))
    with torch.inference_mode():
        logits, scene = model(windows[:, : architectures.MIN_SAMPLES])
        assert logits.shape == (2, 527)
        assert scene.shape == (2, model.embedding_size)
        together = model(windows)
        apart = [model(window[None]) for window in windows]
    for part, pieces in zip(together, zip(*apart, strict=True), strict=True):
        torch.testing.assert_close(part, torch.cat(pieces), rtol=0, atol=1e-5)


def test_the_mel_stays_in_full_precision_under_autocast():
    model = passt.Passt(arch="demo").eval()
    seen = []
    model.net.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    windows = torch.from_numpy(sound(2.0))[None]
    with torch.inference_mode():
        model(windows)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits, _ = model(windows)
    assert torch.equal(seen[0], seen[1])
    assert logits.dtype == torch.float32


@pytest.mark.parametrize(("arch", "seconds"), [("passt_20sec", 20), ("passt_30sec", 30)])
def test_longer_windows(arch, seconds):
    model = passt.Passt(arch=arch)
    assert model.window == seconds * 32_000
    assert model.net.time_new_pos_embed.shape[-1] == seconds * 100 // 10  # frames // stride


def test_building_prints_nothing(capsys):
    model = passt.Passt(arch=OFFICIAL)
    model.net.blocks = model.net.blocks[:1]
    with torch.inference_mode():
        model(torch.zeros(1, architectures.MIN_SAMPLES))
    assert capsys.readouterr() == ("", "")


def test_what_is_not_of_the_architecture_is_refused(ours):
    small = passt.Passt(arch="demo")
    with pytest.raises(ValueError, match="do not fit the architecture demo"):
        small.load_weights(ours.net.state_dict())
    with pytest.raises(ValueError, match="not the weights of a PaSST"):
        small.load_weights({"x": torch.ones(1)})
    with pytest.raises(ValueError, match="unknown architecture 'passt_xl'"):
        passt.Passt(arch="passt_xl")


def test_the_pinned_hash_is_that_of_the_bundled_tagger():
    """ARCHITECTURES needs the new hash after scripts/train_demo_tagger.py has run."""
    tagger = PROJECT_ROOT / "data/demo/tagger.safetensors"
    assert architectures.ARCHITECTURES["demo"].weights_sha256 == sha256(tagger)


@pytest.mark.parametrize("samples", [4_801, 48_000, 320_000])
def test_tagging_cells_leaves_the_window_as_it_is(samples):
    model = passt.Passt(arch="demo").eval()
    windows = 0.1 * torch.randn(2, samples, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        logits, scene = model(windows)
        with_cells = model.forward_cells(windows)
    torch.testing.assert_close(with_cells[0], logits, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(with_cells[1], scene, rtol=1e-4, atol=1e-4)
    assert with_cells[2].shape == (2, -(-samples // 16_000), 527 + scene.shape[1])


def test_a_cell_of_a_whole_window_is_the_window():
    """Where its patches are all there are, the class tokens of a cell are those of the window."""
    model = passt.Passt(arch="demo").eval()
    windows = 0.1 * torch.randn(2, 16_000, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        logits, scene, cells = model.forward_cells(windows)
    torch.testing.assert_close(cells[:, 0], torch.cat([logits, scene], 1), rtol=1e-4, atol=1e-4)


def test_a_cell_hears_what_is_around_it():
    """A sound that begins after five seconds changes the cells there more than those before."""
    model = passt.Passt(arch="demo").eval()
    weights.load_weights(model, PROJECT_ROOT / "data/demo/tagger.safetensors")
    generator = torch.Generator().manual_seed(1)
    quiet = 1e-3 * torch.randn(1, 320_000, generator=generator)
    loud = quiet.clone()
    loud[:, 160_000:] += torch.sin(torch.arange(160_000) * 2 * torch.pi * 440 / 32_000)
    with torch.inference_mode():
        changes = (model.forward_cells(loud)[2] - model.forward_cells(quiet)[2])[0, :, :527]
    sizes = changes.abs().mean(dim=1)
    assert sizes[10:].min() > 2 * sizes[:9].max()
