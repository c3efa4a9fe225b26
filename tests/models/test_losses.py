import math

import numpy as np
import pytest
import torch

from models.losses import (
    HardTripletRankingLoss,
    InfoNCE,
    TripletRankingLoss,
    draw_impostors,
    negatives,
)


def compute(loss, audio, query, clips, *, seed=0):
    """Call a loss as the trainer does, for a single batch."""
    generator = torch.Generator().manual_seed(seed)
    drawn = loss.draw(clips, batch_size=len(clips), generator=generator)
    return loss(audio, query, clips, drawn)


@pytest.mark.parametrize("case", ["distinct_f32", "repeats_f32", "repeats_f64", "margin1_f64"])
def test_triplet_loss_and_gradients_equal_the_original(golden, case):
    def take(name):
        return torch.from_numpy(golden[f"loss_{case}_{name}"])

    audio, query = take("audio").requires_grad_(), take("query").requires_grad_()
    loss = TripletRankingLoss(margin=float(golden[f"loss_{case}_margin"]))(
        audio, query, take("fid"), torch.stack([take("imp_audio"), take("imp_query")], dim=1)
    )
    loss.backward()
    tolerance = {"rtol": 0, "atol": 1e-12 if "f64" in case else 1e-7}
    np.testing.assert_allclose(loss.item(), golden[f"loss_{case}_loss"], **tolerance)
    np.testing.assert_allclose(audio.grad, golden[f"loss_{case}_grad_audio"], **tolerance)
    np.testing.assert_allclose(query.grad, golden[f"loss_{case}_grad_query"], **tolerance)


def test_triplet_loss_by_hand():
    # Own scores 1 and 0.5; each pair is the other's only possible impostor.
    audio = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    query = torch.tensor([[1.0, 0.5], [0.6, 0.5]])
    loss = compute(TripletRankingLoss(margin=0.4), audio, query, torch.tensor([7, 9]))
    # Pair 0: a0·q1 = 0.6 -> 0.4 + 0.6 - 1 = 0;  a1·q0 = 0.5 -> max(0, -0.1) = 0
    # Pair 1: a1·q0 = 0.5 -> 0.4 + 0.5 - 0.5 = 0.4;  a0·q1 = 0.6 -> 0.4 + 0.6 - 0.5 = 0.5
    assert loss.item() == pytest.approx((0.0 + 0.9) / 2)


LOSSES = {
    "random": TripletRankingLoss(margin=0.4),
    "hard": HardTripletRankingLoss(margin=0.4),
    "InfoNCE": InfoNCE(temperature=0.07),
}


@pytest.mark.parametrize("name", ["random", "hard"])
@pytest.mark.parametrize("clips", [[5, 5, 5, 5], [[5, 6], [6, 7], [5, 7], [6, 5]]])
def test_a_batch_without_impostors_contributes_nothing(name, clips):
    audio, query = (torch.randn(4, 8, requires_grad=True) for _ in range(2))
    loss = compute(LOSSES[name], audio, query, torch.tensor(clips))
    loss.backward()
    assert loss.item() == 0.0
    assert not audio.grad.any()
    assert not query.grad.any()


def test_a_pair_without_impostors_contributes_nothing_beside_others_that_have_some():
    # Pair 1 mixes clips 1 and 2, so it shares a clip with both others, which are each other's.
    clips = torch.tensor([[1, 1], [1, 2], [2, 2]])
    audio = torch.tensor([[1.0, 0.0], [9.0, 9.0], [0.0, 1.0]])
    query = torch.tensor([[1.0, 0.5], [-9.0, -9.0], [0.6, 0.5]])
    # As in the case by hand above, over three pairs.
    for loss in (LOSSES["random"], LOSSES["hard"]):
        assert compute(loss, audio, query, clips).item() == pytest.approx(0.9 / 3)


def share_no_clip(clips, i, j) -> bool:
    return {*np.atleast_1d(clips[i])}.isdisjoint(np.atleast_1d(clips[j]))


@pytest.fixture(params=["single clips", "mixed clips"])
def batch(request):
    generator = torch.Generator().manual_seed(4)
    audio, query = torch.nn.functional.normalize(
        torch.randn(2, 12, 6, generator=generator, dtype=torch.float64), dim=-1
    )
    clips = torch.randint(5, (12,), generator=generator)
    if request.param == "mixed clips":
        clips = torch.stack([clips, torch.randint(5, (12,), generator=generator)], dim=1)
    return audio, query, clips


def test_hard_triplet_loss_equals_a_loop_over_pairs(batch):
    audio, query, clips = batch
    expected = 0.0
    for i in range(12):
        others = [j for j in range(12) if share_no_clip(clips.numpy(), i, j)]
        assert negatives(clips)[i].nonzero().flatten().tolist() == others
        own = float(audio[i] @ query[i])
        if others:
            expected += max(0.0, 0.4 + max(float(audio[i] @ query[j]) for j in others) - own)
            expected += max(0.0, 0.4 + max(float(audio[k] @ query[i]) for k in others) - own)
    assert LOSSES["hard"](audio, query, clips).item() == pytest.approx(expected / 12, abs=1e-12)


def test_info_nce_equals_a_loop_over_pairs(batch):
    audio, query, clips = batch

    def one_way(rows, columns):
        total = 0.0
        for i in range(12):
            scores = [float(rows[i] @ columns[j]) / 0.07 for j in range(12)]
            all_together = math.log(sum(math.exp(score) for score in scores))
            own = [j for j in range(12) if not share_no_clip(clips.numpy(), i, j)]
            total += sum(all_together - scores[j] for j in own) / len(own)
        return total / 12

    expected = (one_way(audio, query) + one_way(query, audio)) / 2
    assert LOSSES["InfoNCE"](audio, query, clips).item() == pytest.approx(expected, rel=1e-6)


def test_info_nce_by_hand():
    loss = InfoNCE(temperature=1.0)
    # Two captions of one clip: both are right, so the best possible loss is that of a coin.
    same = loss(torch.ones(2, 1), torch.ones(2, 1), torch.tensor([1, 1]))
    assert same.item() == pytest.approx(math.log(2))
    # Two clips, own scores 1 and the others 0: -log(e / (e + 1)).
    apart = loss(torch.eye(2), torch.eye(2), torch.tensor([1, 2]))
    assert apart.item() == pytest.approx(math.log(1 + math.exp(-1)))


def test_the_temperature_is_trained_only_if_learnable_and_stays_positive():
    audio, query = torch.nn.functional.normalize(torch.randn(2, 6, 4), dim=-1)
    assert not list(InfoNCE(temperature=0.07).parameters())
    loss = InfoNCE(temperature=0.07, learnable=True)
    loss(audio, query, torch.arange(6)).backward()
    assert loss.log_temperature.grad.abs() > 0
    assert loss.temperature.item() == pytest.approx(0.07)
    with torch.no_grad():
        loss.log_temperature.fill_(-30.0)
    assert loss.temperature.item() == pytest.approx(0.01)
    assert torch.isfinite(loss(audio, query, torch.arange(6)))


@pytest.mark.parametrize("mixed", [False, True])
def test_impostors_are_negatives_of_the_own_batch(mixed):
    generator = torch.Generator().manual_seed(2)
    clips = torch.randint(9, (50,), generator=generator)
    if mixed:
        clips = torch.stack([clips, torch.randint(9, (50,), generator=generator)], dim=1)
    drawn = draw_impostors(clips, batch_size=16, generator=generator)
    for start in range(0, 50, 16):
        batch = clips[start : start + 16]
        fit = negatives(batch)
        assert fit.any(dim=1).all()
        assert fit.gather(1, drawn[start : start + 16]).all()


def test_rare_negatives_are_found_and_missing_ones_are_the_pair_itself():
    """Where chance alone would take long, and where it would never end."""
    clips = torch.zeros(600, dtype=torch.int64)
    clips[77] = 1  # the only negative of all others in the first batch; the second has none
    drawn = draw_impostors(clips, batch_size=400, generator=torch.Generator().manual_seed(0))
    others = torch.arange(400) != 77
    assert (drawn[:400][others] == 77).all()
    assert (clips[drawn[77]] == 0).all()
    assert torch.equal(drawn[400:], torch.arange(200).unsqueeze(1).expand(200, 2))


def test_impostors_are_of_other_clips_uniform_and_independent():
    clips = torch.tensor([1, 1, 2, 3])
    generator = torch.Generator().manual_seed(0)
    drawn = draw_impostors(clips.repeat(6000), batch_size=4, generator=generator)
    audio, query = drawn.T.reshape(2, 6000, 4)
    for drawn in (audio, query):
        assert (clips[drawn] != clips).all()
        # Pair 2 may draw 0, 1 and 3, each with probability 1/3 (sd of the share: 0.006).
        shares = torch.bincount(drawn[:, 2], minlength=4) / len(drawn)
        assert shares.tolist() == pytest.approx([1 / 3, 1 / 3, 0, 1 / 3], abs=0.03)
    # Independent: both fall on the same one of three in a third of the cases.
    assert (audio[:, 2] == query[:, 2]).float().mean().item() == pytest.approx(1 / 3, abs=0.03)
