from dataclasses import replace

import numpy as np
import pytest
import torch

from models.dual_encoder import DualEncoder
from models.losses import HardTripletRankingLoss, InfoNCE, TripletRankingLoss
from tests.support import LOGITS_BRANCH, SCENE_BRANCH, golden_encoder
from utils.features.pairs import Pairs
from utils.training import fast_step
from utils.training.batches import Batch


def example(*, with_tags=True, clips=12):
    """A model, its loss, pairs and a batch, all random."""
    generator = torch.Generator().manual_seed(3)
    table = torch.nn.functional.normalize(torch.randn(10, 16, generator=generator), dim=-1)
    model = DualEncoder(
        audio_size=10, text_size=16, tag_table=table if with_tags else None, generator=generator
    )
    logits = 3 * torch.randn(clips, 10, generator=generator)
    sentences = torch.randn(2 * clips, 16, generator=generator)
    of = torch.arange(2 * clips) // 2
    pairs = Pairs(logits, logits, model.embed_tags(logits), sentences, of).with_text(model)
    order = torch.randperm(len(pairs), generator=generator)[:17]
    loss = TripletRankingLoss(margin=0.4)
    impostors = loss.draw(of[order], batch_size=17, generator=generator)
    impostors[:2] = torch.tensor([[0, 0], [1, 1]])  # pairs without impostors
    return model, loss, pairs, Batch(order, of[order], impostors)


def gradients(model):
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("with_tags", [True, False], ids=["tags", "none"])
def test_loss_and_gradients_equal_those_of_the_formulas(with_tags):
    model, loss, pairs, batch = example(with_tags=with_tags)
    assert fast_step.fits(model, loss, pairs, batch)
    value = fast_step.backward(model, loss, pairs, batch)
    by_hand = gradients(model)
    model.zero_grad()
    expected = loss(*batch.embed(model, pairs), batch.clips, batch.impostors)
    expected.backward()
    assert 0.1 < expected < 2
    torch.testing.assert_close(value, expected.detach())
    for name, gradient in gradients(model).items():
        assert gradient.abs().max() > 1e-3, name
        torch.testing.assert_close(by_hand[name], gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("branch", [LOGITS_BRANCH, SCENE_BRANCH], ids=["logits", "scene"])
def test_five_steps_equal_the_original(golden, branch):
    _, norm, projection, feature = branch
    name = f"traj_{feature}"

    def take(key):
        return torch.from_numpy(golden[f"{name}_{key}"])

    model = golden_encoder(golden, f"{name}_W0", norm, projection, tags=take("tags"))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    loss, own = TripletRankingLoss(margin=0.4), torch.arange(len(take("fid")))
    tags, text = model.embed_tags(take("logits")), model.encode_text(take("caption"))
    pairs = Pairs(take(feature), take("logits"), tags, take("caption"), own, text)
    losses = []
    for step in range(5):
        impostors = torch.stack([take("imp_audio")[step], take("imp_query")[step]], dim=1)
        losses.append(fast_step.backward(model, loss, pairs, Batch(own, own, impostors)).item())
        optimizer.step()
    np.testing.assert_allclose(losses, golden[f"{name}_losses"], rtol=0, atol=1e-9)
    for ours, theirs in (("audio_norm", norm), ("audio_projection", projection)):
        for part in ("weight", "bias"):
            weight = model.get_parameter(f"{ours}.{part}").detach()
            np.testing.assert_allclose(weight, take(f"W5_{theirs}.{part}"), rtol=0, atol=1e-9)


def test_only_the_default_step_on_a_cpu_is_written_out():
    model, loss, pairs, batch = example()
    projected = DualEncoder(audio_size=10, text_size=16, text_projection=True)
    mixed = replace(batch, partners=batch.order, share=torch.ones(17))
    for other in (
        (projected, loss, replace(pairs, text=None), batch),
        (model, InfoNCE(temperature=0.07), pairs, batch),
        (model, HardTripletRankingLoss(margin=0.4), pairs, batch),
        (model, loss, pairs, mixed),
    ):
        assert not fast_step.fits(*other)
