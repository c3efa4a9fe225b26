import io

import numpy as np
import pytest
import torch
from test_dual_encoder import LOGITS_BRANCH, SCENE_BRANCH, golden_encoder

from models.dual_encoder import DualEncoder
from models.losses import TripletRankingLoss
from utils.errors import InputError
from utils.training import Pairs, Schedule, Trainer, evaluate

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
    schedule = Schedule(**{**vars(SCHEDULE), "learning_rate": 1e-3})
    optimizer = Trainer(model, loss_function, schedule, seed=1).optimizer
    tags = model.embed_tags(take("logits"))
    losses = []
    for step in range(5):
        loss = loss_function(
            model.encode_audio(take(feature), tags),
            model.encode_text(take("caption")),
            take("fid"),
            impostors=(take("imp_audio")[step], take("imp_query")[step]),
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
        tags=None,
        sentences=text[which] + 0.1 * torch.randn(3 * clips, 12, generator=generator),
        clips=which,
    )


def make_trainer(seed: int = 1, schedule: Schedule = SCHEDULE) -> Trainer:
    model = DualEncoder(audio_size=10, text_size=12, generator=torch.Generator().manual_seed(seed))
    return Trainer(model, TripletRankingLoss(margin=0.4), schedule, seed=seed)


def numbers(trainer: Trainer) -> list[dict]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in trainer.history]


def test_training_learns():
    training, validation = learnable_pairs(1), learnable_pairs(2)
    trainer = make_trainer(schedule=Schedule(**{**vars(SCHEDULE), "epochs": 20}))
    before = evaluate(trainer.model, validation).means()["mAP@10"]
    trainer.fit(training, validation)
    assert trainer.history[-1]["train_loss"] < trainer.history[0]["train_loss"] / 2
    trainer.model.load_state_dict(trainer.best_state)
    assert evaluate(trainer.model, validation).means()["mAP@10"] > before + 0.2


def test_the_schedule_is_kept_exactly_and_the_earliest_best_epoch_wins():
    told = []
    trainer = make_trainer()
    trainer.fit(
        learnable_pairs(1),
        learnable_pairs(2),
        after_epoch=lambda row, improved: told.append((row["epoch"], improved)),
    )
    assert [epoch for epoch, _ in told] == [1, 2, 3, 4]
    scores = [row["mAP@10"] for row in trainer.history]
    assert trainer.best_epoch == scores.index(max(scores)) + 1
    assert trainer.best_epoch == max(epoch for epoch, improved in told if improved)


def test_same_seed_same_numbers_other_seed_others():
    def history(seed):
        trainer = make_trainer(seed)
        trainer.fit(learnable_pairs(1), learnable_pairs(2))
        return numbers(trainer)

    torch.manual_seed(0)
    first = history(1)
    torch.manual_seed(1)
    assert history(1) == first
    assert history(2) != first


def test_a_stopped_run_goes_on_as_if_never_stopped():
    training, validation = learnable_pairs(1), learnable_pairs(2)
    whole = make_trainer()
    whole.fit(training, validation)

    stopped = make_trainer()
    saved = {}

    def stop_after_two(row, improved):
        if row["epoch"] == 2:
            saved.update(torch.load(_through_file(stopped.state_dict()), weights_only=True))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped.fit(training, validation, after_epoch=stop_after_two)
    resumed = make_trainer(seed=77)
    resumed.load_state_dict(saved)
    resumed.fit(training, validation)
    assert numbers(resumed) == numbers(whole)
    assert resumed.best_epoch == whole.best_epoch
    for name, weight in whole.best_state.items():
        assert torch.equal(weight, resumed.best_state[name])


def _through_file(state):
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return buffer


def test_learning_rate_falls_on_a_plateau():
    schedule = Schedule(**{**vars(SCHEDULE), "epochs": 3, "threshold": 1e9})
    trainer = make_trainer(schedule=schedule)
    trainer.fit(learnable_pairs(1), learnable_pairs(2))
    rates = [row["learning_rate"] for row in trainer.history]
    assert rates == pytest.approx([1e-2, 1e-2, 1e-3])


def test_an_evaluation_encodes_the_rank_of_each_caption():
    pairs = learnable_pairs(3, clips=4)

    class Given(torch.nn.Module):
        def encode_audio(self, features, tags):
            return torch.eye(4)

        def encode_text(self, sentences):
            scores = torch.zeros(12, 4)
            scores[:, 2] = 1.0  # every caption retrieves clip 2, then 0, 1, 3 in file order
            return scores

    evaluation = evaluate(Given(), pairs)
    assert evaluation.ranks.tolist() == [2] * 3 + [3] * 3 + [1] * 3 + [4] * 3
    assert evaluation.best[0].tolist() == [2, 0, 1, 3]
    assert evaluation.means()["R@1"] == pytest.approx(0.25)
    assert evaluation.means()["mAP@10"] == pytest.approx((1 / 2 + 1 / 3 + 1 + 1 / 4) / 4)


def test_a_diverged_run_stops_instead_of_being_the_best():
    trainer = make_trainer(schedule=Schedule(**{**vars(SCHEDULE), "learning_rate": 1e38}))
    with pytest.raises(InputError, match=r"diverged: in epoch \d+ the loss is nan"):
        trainer.fit(learnable_pairs(1), learnable_pairs(2))
    assert all(np.isfinite(row["train_loss"]) for row in trainer.history)
