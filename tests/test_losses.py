import numpy as np
import pytest
import torch

from models.losses import TripletRankingLoss, draw_impostors

CASES = ("distinct_f32", "repeats_f32", "repeats_f64", "margin1_f64")


@pytest.mark.parametrize("case", CASES)
def test_triplet_loss_and_gradients_equal_the_original(golden, case):
    def take(name):
        return torch.from_numpy(golden[f"loss_{case}_{name}"])

    audio, query = take("audio").requires_grad_(), take("query").requires_grad_()
    loss = TripletRankingLoss(margin=float(golden[f"loss_{case}_margin"]))(
        audio, query, take("fid"), impostors=(take("imp_audio"), take("imp_query"))
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
    loss = TripletRankingLoss(margin=0.4)(audio, query, torch.tensor([7, 9]))
    # Pair 0: a0·q1 = 0.6 -> 0.4 + 0.6 - 1 = 0;  a1·q0 = 0.5 -> max(0, -0.1) = 0
    # Pair 1: a1·q0 = 0.5 -> 0.4 + 0.5 - 0.5 = 0.4;  a0·q1 = 0.6 -> 0.4 + 0.6 - 0.5 = 0.5
    assert loss.item() == pytest.approx((0.0 + 0.9) / 2)


def test_triplet_loss_equals_a_loop_over_pairs():
    generator = torch.Generator().manual_seed(3)
    audio, query = torch.randn(2, 20, 8, generator=generator, dtype=torch.float64)
    clips = torch.randint(6, (20,), generator=generator)
    impostors = draw_impostors(clips, generator=generator)
    expected = 0.0
    for i in range(20):
        k, j = impostors[0][i], impostors[1][i]
        own = audio[i] @ query[i]
        expected += max(0.0, 0.4 + float(audio[i] @ query[j] - own))
        expected += max(0.0, 0.4 + float(audio[k] @ query[i] - own))
    loss = TripletRankingLoss(margin=0.4)(audio, query, clips, impostors=impostors)
    assert loss.item() == pytest.approx(expected / 20, abs=1e-12)


def test_a_batch_of_one_clip_contributes_nothing():
    audio = torch.randn(4, 8, requires_grad=True)
    query = torch.randn(4, 8, requires_grad=True)
    loss = TripletRankingLoss(margin=0.4)(audio, query, torch.tensor([5, 5, 5, 5]))
    loss.backward()
    assert loss.item() == 0.0
    assert not audio.grad.any()
    assert not query.grad.any()


def test_impostors_are_of_other_clips_uniform_and_independent():
    clips = torch.tensor([1, 1, 2, 3])
    generator = torch.Generator().manual_seed(0)
    draws = [draw_impostors(clips, generator=generator) for _ in range(6000)]
    audio = torch.stack([audio for audio, _ in draws])
    query = torch.stack([query for _, query in draws])
    for drawn in (audio, query):
        assert (clips[drawn] != clips).all()
        # Pair 2 may draw 0, 1 and 3, each with probability 1/3 (sd of the share: 0.006).
        shares = torch.bincount(drawn[:, 2], minlength=4) / len(drawn)
        assert shares.tolist() == pytest.approx([1 / 3, 1 / 3, 0, 1 / 3], abs=0.03)
    # Independent: both fall on the same one of three in a third of the cases.
    assert (audio[:, 2] == query[:, 2]).float().mean().item() == pytest.approx(1 / 3, abs=0.03)


def test_impostors_follow_the_generator_alone():
    clips = torch.arange(16)
    first = draw_impostors(clips, generator=torch.Generator().manual_seed(5))
    torch.manual_seed(99)
    again = draw_impostors(clips, generator=torch.Generator().manual_seed(5))
    other = draw_impostors(clips, generator=torch.Generator().manual_seed(6))
    assert torch.equal(torch.stack(first), torch.stack(again))
    assert not torch.equal(torch.stack(first), torch.stack(other))
