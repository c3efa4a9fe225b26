"""All networks in one, before and while they are trained."""

import numpy as np
import pytest
import torch

from models.architectures import CLASSES
from models.dual_encoder import DualEncoder
from models.passt import Passt
from utils.finetuning.network import EndToEnd

SPACE = 8


def make_network(audio_features: str = "both", *, tags: bool = True) -> EndToEnd:
    torch.manual_seed(0)
    passt = Passt(arch="demo")
    size = {"logits": CLASSES, "scene": 144, "both": CLASSES + 144}[audio_features]
    table = torch.randn(CLASSES, SPACE) if tags else None
    heads = DualEncoder(
        audio_size=size,
        text_size=SPACE,
        tag_table=table,
        ratio=0.6,
        generator=torch.Generator().manual_seed(0),
    )
    return EndToEnd(passt, None, heads, audio_features=audio_features)


@pytest.fixture(scope="module")
def windows() -> torch.Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.uniform(-0.3, 0.3, (3, 32_000)).astype(np.float32))


@pytest.mark.parametrize("audio_features", ["logits", "scene", "both"])
@pytest.mark.parametrize("tags", [True, False])
def test_clips_are_embedded_as_by_the_networks_one_after_the_other(windows, audio_features, tags):
    network = make_network(audio_features, tags=tags).eval()
    with torch.no_grad():
        found = network.encode_audio(
            windows, torch.tensor([1.0, 0.25, 1.0]), torch.tensor([0, 0, 1]), 2
        )
        logits, scene = network.passt(windows)
        shares = torch.tensor([[0.8, 0.2, 0.0], [0.0, 0.0, 1.0]])
        logits, scene = shares @ logits, shares @ scene
        features = {"logits": logits, "scene": scene, "both": torch.cat([logits, scene], dim=1)}
        wanted = network.heads.encode_audio(
            features[audio_features], network.heads.embed_tags(logits)
        )
    torch.testing.assert_close(found, wanted)


def gradients(network: EndToEnd, windows: torch.Tensor) -> dict[str, torch.Tensor]:
    network.train()
    torch.manual_seed(1)
    clips = torch.arange(len(windows))
    found = network.encode_audio(windows, torch.ones(len(windows)), clips, len(windows))
    (found @ torch.linspace(-1, 1, SPACE)).square().sum().backward()
    return {name: p.grad for name, p in network.named_parameters() if p.grad is not None}


def test_the_tag_branch_trains_passt_too(windows):
    network = make_network("scene")
    network.heads.ratio = 0.0
    assert gradients(network, windows)["passt.net.head.1.weight"].abs().max() > 0


def test_patchout_leaves_out_patches_in_training_alone(windows):
    network = make_network()
    counts = []
    block = network.passt.net.blocks[0]
    block.register_forward_pre_hook(lambda _, inputs: counts.append(inputs[0].shape[1]))
    network.passt.net.s_patchout_t, network.passt.net.s_patchout_f = 2, 3
    network.eval().passt(windows)
    network.train().passt(windows)
    whole, left = (count - 1 for count in counts)  # a class token
    assert (whole, left) == (8 * 6, 5 * 4)


def test_activations_that_are_computed_twice_give_the_same_gradients(windows):
    kept, recomputed = make_network(), make_network()
    recomputed.recompute_activations()
    wanted, found = gradients(kept, windows), gradients(recomputed, windows)
    assert wanted.keys() == found.keys()
    for name in wanted:
        torch.testing.assert_close(found[name], wanted[name])


def test_frozen_layers_get_no_gradients(windows):
    network = make_network()
    network.freeze(audio_layers=1, text_layers=None)
    trained = {name.removeprefix("passt.net.") for name in gradients(network, windows)}
    assert {name.split(".")[0] for name in trained if name.startswith(("blocks", "norm"))} == {
        "blocks",
        "norm",
    }
    assert not [name for name in trained if name.startswith(("blocks.0", "blocks.2", "patch"))]
    assert [name for name in trained if name.startswith("blocks.3")]


def test_no_layer_of_passt_is_trained_if_none_is_asked_for(windows):
    network = make_network()
    network.freeze(audio_layers=0, text_layers=0)
    assert {name.split(".")[0] for name in gradients(network, windows)} == {"heads"}


def test_its_state_fits_a_passt_of_its_own(windows):
    network = make_network().eval()
    other = Passt(arch="demo").eval()
    other.load_weights(network.passt.net.state_dict())
    with torch.no_grad():
        for one, two in zip(network.passt(windows), other(windows), strict=True):
            torch.testing.assert_close(one, two)
