import io
from dataclasses import replace

import numpy as np
import pytest
import torch

from models.dual_encoder import DualEncoder
from models.losses import HardTripletRankingLoss, InfoNCE, TripletRankingLoss
from tests.support import LOGITS_BRANCH, SCENE_BRANCH, golden_encoder
from utils.evaluation.evaluate import evaluate
from utils.features.pairs import Pairs
from utils.runtime.errors import InputError
from utils.training.batches import Batch
from utils.training.mixup import Mixup, draw_mixup
from utils.training.trainer import Schedule, Trainer

SCHEDULE = Schedule(
    epochs=4,
    batch_size=8,
    learning_rate=1e-2,
    weight_decay=0.0,
    factor=0.1,
    patience=0,
    threshold=0.01,
)


@pytest.mark.parametrize("branch", [LOGITS_BRANCH, SCENE_BRANCH], ids=["logits", "scene"])
def test_five_adam_steps_equal_the_original(golden, branch):
    _, norm, projection, feature = branch
    name = f"traj_{feature}"

    def take(key):
        return torch.from_numpy(golden[f"{name}_{key}"])

    model = golden_encoder(golden, f"{name}_W0", norm, projection, tags=take("tags"))
    loss_function = TripletRankingLoss(margin=0.4)
    schedule = replace(SCHEDULE, learning_rate=1e-3)
    optimizer = Trainer(model, loss_function, schedule, seed=1).optimizer
    tags = model.embed_tags(take("logits"))
    losses = []
    for step in range(5):
        loss = loss_function(
            model.encode_audio(take(feature), tags),
            model.encode_text(take("caption")),
            take("fid"),
            torch.stack([take("imp_audio")[step], take("imp_query")[step]], dim=1),
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    np.testing.assert_allclose(losses, golden[f"{name}_losses"], rtol=0, atol=1e-9)
    for ours, theirs in (("audio_norm", norm), ("audio_projection", projection)):
        for part in ("weight", "bias"):
            weight = model.get_parameter(f"{ours}.{part}").detach()
            np.testing.assert_allclose(weight, take(f"W5_{theirs}.{part}"), rtol=0, atol=1e-9)


def learnable_pairs(seed: int, *, clips: int = 24) -> Pairs:
    """Clips whose features are a fixed random map of their captions' vectors, plus noise."""
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(clips, 6, generator=generator)
    fixed = torch.Generator().manual_seed(0)
    to_audio, to_text = torch.randn(6, 10, generator=fixed), torch.randn(6, 12, generator=fixed)
    which = torch.arange(clips).repeat_interleave(3)
    text = hidden @ to_text
    return Pairs(
        features=hidden @ to_audio,
        logits=None,
        tags=None,
        sentences=text[which] + 0.1 * torch.randn(3 * clips, 12, generator=generator),
        clips=which,
    )


def make_trainer(seed: int = 1, *, loss=None, mixup: Mixup | None = None, **schedule) -> Trainer:
    model = DualEncoder(audio_size=10, text_size=12, generator=torch.Generator().manual_seed(seed))
    loss = loss or TripletRankingLoss(margin=0.4)
    return Trainer(model, loss, replace(SCHEDULE, **schedule), seed=seed, mixup=mixup)


def fit(trainer: Trainer, **options) -> list[dict]:
    """Train, and return the history without times."""
    trainer.fit(learnable_pairs(1), learnable_pairs(2), **options)
    return [{k: v for k, v in row.items() if k != "seconds"} for row in trainer.history]


WAYS = {
    "triplet": {},
    "mixup": {"mixup": Mixup(rate=0.5, beta=0.4)},
    "hard": {"loss": HardTripletRankingLoss(margin=0.4)},
    "InfoNCE": {"loss": InfoNCE(temperature=0.2)},
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_training_learns(way):
    validation = learnable_pairs(2)
    trainer = make_trainer(epochs=20, **way)
    before = evaluate(trainer.model, validation).means()["mAP@10"]
    history = fit(trainer)
    assert history[-1]["train_loss"] < 0.7 * history[0]["train_loss"]
    trainer.model.load_state_dict(trainer.best_state)
    assert evaluate(trainer.model, validation).means()["mAP@10"] > before + 0.2


def test_training_lasts_all_epochs_and_the_earliest_best_epoch_wins():
    epochs = []
    trainer = make_trainer()
    history = fit(trainer, after_epoch=lambda row, better: epochs.append((row["epoch"], better)))
    assert [epoch for epoch, _ in epochs] == [1, 2, 3, 4]
    scores = [row["mAP@10"] for row in history]
    assert trainer.best_epoch == scores.index(max(scores)) + 1
    assert trainer.best_epoch == max(epoch for epoch, improved in epochs if improved)


def test_numbers_depend_on_the_seed_alone():
    torch.manual_seed(0)
    first = fit(make_trainer(1))
    torch.manual_seed(1)
    assert fit(make_trainer(1)) == first
    assert fit(make_trainer(2)) != first


@pytest.mark.parametrize("way", ["triplet", "mixup", "learnable temperature", "earlier version"])
def test_a_stopped_run_resumes_as_if_never_stopped(way):
    def begin(seed=1):
        if way == "learnable temperature":
            return make_trainer(seed, loss=InfoNCE(temperature=0.2, learnable=True))
        return make_trainer(seed, **WAYS.get(way, {}))

    whole, stopped, resumed = begin(), begin(), begin(seed=77)
    file = io.BytesIO()

    def stop_after_two(row, improved):
        if row["epoch"] == 2:
            state = stopped.state_dict()
            if way == "earlier version":  # one step count served all parameters
                moments = state["optimizer"]["state"]
                for of_parameter in moments.values():
                    of_parameter["step"] = moments[0]["step"]
            torch.save(state, file)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(stopped, after_epoch=stop_after_two)
    file.seek(0)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    assert fit(resumed) == fit(whole)
    assert resumed.best_epoch == whole.best_epoch
    for name, weight in whole.best_state.items():
        assert torch.equal(weight, resumed.best_state[name])


def test_the_state_of_another_optimiser_is_refused():
    state = make_trainer().state_dict()
    state["optimizer"]["param_groups"][0]["params"] = [0]
    with pytest.raises(ValueError, match="doesn't match the size"):
        make_trainer().load_state_dict(state)


def test_learning_rate_falls_on_a_plateau():
    history = fit(make_trainer(epochs=3, threshold=1e9))
    assert [row["learning_rate"] for row in history] == pytest.approx([1e-2, 1e-2, 1e-3])


def test_an_evaluation_encodes_the_rank_of_each_caption():
    pairs = learnable_pairs(3, clips=4)

    class Given(torch.nn.Module):
        def encode_audio(self, features, tags):
            return torch.eye(4)

        def encode_text(self, sentences):
            scores = torch.zeros(12, 4)
            scores[:, 2] = 1.0  # every caption retrieves clip 2, then 0, 1, 3 in file order
            return scores

    evaluation = evaluate(Given(), pairs, both_ways=True)
    assert evaluation.ranks.tolist() == [2] * 3 + [3] * 3 + [1] * 3 + [4] * 3
    assert evaluation.best[0].tolist() == [2, 0, 1, 3]
    assert evaluation.means()["R@1"] == pytest.approx(0.25)
    # Clip 2 scores 1 with every caption, so its own three come at ranks 7 to 9; the other clips
    # score 0 with every caption: clip 0 finds its own at ranks 1 to 3, clip 1 at 4 to 6.
    assert evaluation.audio_to_text["R@1"].tolist() == [1, 0, 0, 0]
    assert evaluation.audio_to_text["R@5"].tolist() == [1, 1, 0, 0]
    assert evaluation.audio_to_text["mAP@10"].tolist() == pytest.approx(
        [1, (1 / 4 + 2 / 5 + 3 / 6) / 3, (1 / 7 + 2 / 8 + 3 / 9) / 3, (1 / 10) / 3]
    )
    assert evaluation.means()["mAP@10"] == pytest.approx((1 / 2 + 1 / 3 + 1 + 1 / 4) / 4)


def test_a_diverged_run_stops_instead_of_being_the_best():
    trainer = make_trainer(learning_rate=1e38)
    with pytest.raises(InputError, match=r"diverged: in epoch \d+ the loss is nan"):
        fit(trainer)
    assert all(np.isfinite(row["train_loss"]) for row in trainer.history)


def test_a_run_that_diverges_in_the_last_step_of_an_epoch_stops_too():
    trainer = make_trainer(learning_rate=1e38, batch_size=1000)  # the only step
    with pytest.raises(InputError, match=r"diverged: in epoch 1 the validation loss or an embed"):
        fit(trainer)
    assert trainer.history == []


def test_the_learnable_temperature_is_trained():
    trainer = make_trainer(loss=InfoNCE(temperature=0.2, learnable=True))
    fit(trainer)
    assert trainer.loss.temperature.item() != pytest.approx(0.2, abs=1e-3)


def test_mixup_partners_are_of_other_clips_and_uniform():
    clips = torch.tensor([0, 0, 0, 1, 2, 2])
    batch = torch.tensor([1] * 3000 + [3] * 3000)
    rng = np.random.default_rng(0)
    partners, share = draw_mixup(clips, batch, Mixup(rate=0.5, beta=0.4), rng)
    mixed = share < 1
    # A pair stays itself with probability 1/2, up to the sd of 0.006.
    assert mixed.mean() == pytest.approx(0.5, abs=0.03)
    assert torch.equal(partners[~mixed], batch[~mixed])
    assert (clips[partners[mixed]] != clips[batch[mixed]]).all()
    for position, others in ((1, [3, 4, 5]), (3, [0, 1, 2, 4, 5])):
        drawn = partners[torch.from_numpy(mixed) & (batch == position)]
        shares = torch.bincount(drawn, minlength=6) / len(drawn)
        expected = [1 / len(others) if i in others else 0 for i in range(6)]
        assert shares.tolist() == pytest.approx(expected, abs=0.05)
    # Beta(0.4, 0.4): mean 1/2, variance 1 / (4 (2·0.4 + 1)).
    assert share[mixed].mean() == pytest.approx(0.5, abs=0.03)
    assert share[mixed].var() == pytest.approx(1 / (4 * 1.8), abs=0.01)


def test_mixup_of_a_single_clip_leaves_pairs_alone():
    clips, batch = torch.zeros(4, dtype=torch.int64), torch.tensor([0, 1])
    partners, share = draw_mixup(clips, batch, Mixup(1.0, 1.0), np.random.default_rng())
    assert torch.equal(partners, batch)
    assert share.tolist() == [1, 1]


def test_mixup_mixes_features_logits_and_captions_alike():
    """The batch that reaches the model equals one mixed pair by pair."""
    generator = torch.Generator().manual_seed(0)
    clips = torch.tensor([0, 0, 1, 1, 2])
    table = torch.randn(7, 12, generator=generator)
    model = DualEncoder(audio_size=10, text_size=12, tag_table=table, generator=generator)
    logits = torch.randn(3, 7, generator=generator)
    pairs = Pairs(
        features=torch.randn(3, 10, generator=generator),
        logits=logits,
        tags=model.embed_tags(logits),
        sentences=torch.nn.functional.normalize(torch.randn(5, 12, generator=generator), dim=-1),
        clips=clips,
    )
    batch, partners = torch.tensor([4, 0, 2]), torch.tensor([1, 0, 4])
    share = torch.tensor([0.25, 1.0, 0.6])
    mixed = Batch(batch, torch.tensor([[2, 0], [0, 0], [1, 2]]), None, partners, share)
    embedded = mixed.embed(model, pairs)
    for row, (i, j, own) in enumerate(zip(batch, partners, share, strict=True)):

        def mix(values, a, b, weight=own):
            return (weight * values[a] + (1 - weight) * values[b])[None]

        tags = model.embed_tags(mix(logits, clips[i], clips[j]))
        audio = model.encode_audio(mix(pairs.features, clips[i], clips[j]), tags)
        text = model.encode_text(mix(pairs.sentences, i, j))
        torch.testing.assert_close(embedded[0][row], audio[0])
        torch.testing.assert_close(embedded[1][row], text[0])


@pytest.mark.parametrize("loss", [TripletRankingLoss(margin=0.4), InfoNCE(temperature=0.2)])
def test_an_epochs_loss_is_the_mean_over_pairs_for_any_batch_size(loss):
    """At a learning rate of 0, the mean of the batches' losses by their sizes."""
    pairs = learnable_pairs(1)
    trainer, other = (make_trainer(batch_size=7, learning_rate=0.0, loss=loss) for _ in range(2))
    epoch = other._draw_epoch(pairs, other._order, other._impostors)
    total = 0.0
    for batch in epoch.split(7):
        embedded = batch.embed(other.model, pairs)
        total += loss(*embedded, batch.clips, batch.impostors).item() * len(batch.order)
    assert trainer.train_epoch(pairs) == pytest.approx(total / len(pairs), abs=1e-6)


def test_mixup_reaches_the_training_step_and_never_the_validation():
    plain, unmixed, mixed = (
        make_trainer(mixup=mixup) for mixup in (None, Mixup(rate=0.0, beta=0.4), Mixup(1.0, 0.4))
    )
    assert mixed.validate(learnable_pairs(2)) == plain.validate(learnable_pairs(2))
    for trainer in (plain, unmixed, mixed):
        trainer.train_epoch(learnable_pairs(1).with_text(trainer.model))
    weight, same, other = (t.model.audio_projection.weight for t in (plain, unmixed, mixed))
    torch.testing.assert_close(same, weight, rtol=0, atol=1e-5)
    assert not torch.allclose(other, weight)


def test_an_epoch_is_drawn_in_one_call_and_cut_into_batches():
    """Every pair once, each with what was drawn for it."""
    pairs = learnable_pairs(1)
    trainer = make_trainer(mixup=Mixup(rate=0.5, beta=0.4))
    epoch = trainer._draw_epoch(pairs, trainer._order, trainer._impostors, mixup=trainer.mixup)
    batches = list(epoch.split(7))
    assert [len(batch.order) for batch in batches] == [7] * 10 + [2]
    assert torch.cat([batch.order for batch in batches]).sort().values.tolist() == list(range(72))
    assert torch.equal(torch.cat([b.impostors for b in batches]), epoch.impostors)
    for batch in batches:
        assert torch.equal(batch.clips[:, 0], pairs.clips[batch.order])
        assert torch.equal(batch.clips[:, 1], pairs.clips[batch.partners])
        unmixed = batch.share == 1
        assert torch.equal(batch.partners[unmixed], batch.order[unmixed])


def test_validation_equals_batch_by_batch_and_caption_by_caption():
    pairs = learnable_pairs(2)
    trainer = make_trainer(batch_size=7)
    found = trainer.validate(pairs)
    seed = trainer._validation_seed
    order = torch.randperm(len(pairs), generator=torch.Generator().manual_seed(seed))
    clips = pairs.clips[order]
    drawn = trainer.loss.draw(clips, batch_size=7, generator=torch.Generator().manual_seed(seed))
    total = 0.0
    for start in range(0, len(order), 7):  # the last batch is smaller
        part = slice(start, start + 7)
        audio = trainer.model.encode_audio(pairs.features[clips[part]], None)
        text = trainer.model.encode_text(pairs.sentences[order[part]])
        loss = trainer.loss(audio, text, clips[part], drawn[part])
        total += loss.item() * len(audio)
    assert found.pop("validation_loss") == pytest.approx(total / len(pairs), abs=1e-6)
    assert found == pytest.approx(evaluate(trainer.model, pairs).means())
