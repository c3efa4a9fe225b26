"""Two processes that share each batch, against one. Run by torchrun, this file is their program."""

import json
import sys
from pathlib import Path

import pytest
import torch

from models.dual_encoder import DualEncoder
from models.losses import HardTripletRankingLoss, InfoNCE, TripletRankingLoss
from tests.training.test_trainer import SCHEDULE, learnable_pairs
from utils.runtime import distributed
from utils.runtime.distributed import ALONE, Team
from utils.settings.config import PROJECT_ROOT
from utils.training.mixup import Mixup
from utils.training.shared_step import gather_rows, share_of
from utils.training.trainer import Schedule, Trainer

WAYS = {
    "triplet": {},
    # A last batch of one pair, in which one process has nothing to do.
    "uneven batches": {"batch_size": 71},
    "mixup": {"mixup": Mixup(rate=0.5, beta=0.4)},
    "hard": {"loss": lambda: HardTripletRankingLoss(margin=0.4)},
    "InfoNCE, trained temperature": {"loss": lambda: InfoNCE(temperature=0.2, learnable=True)},
    "trained text branch": {"text_projection": True},
}


def train(team: Team, *, batch_size=7, loss=None, mixup=None, text_projection=False):
    """Train two epochs; returns the history and the sums of the weights."""
    model = DualEncoder(
        audio_size=10,
        text_size=12,
        text_projection=text_projection,
        generator=torch.Generator().manual_seed(1),
    )
    schedule = Schedule(**{**vars(SCHEDULE), "epochs": 2, "batch_size": batch_size})
    loss = loss() if loss else TripletRankingLoss(margin=0.4)
    trainer = Trainer(model, loss, schedule, seed=1, mixup=mixup, team=team)
    trainer.fit(learnable_pairs(1), learnable_pairs(2))
    history = [{k: v for k, v in row.items() if k != "seconds"} for row in trainer.history]
    parameters = [*model.parameters(), *loss.parameters()]
    return {"history": history, "weights": [p.abs().sum().item() for p in parameters]}


def main(folder: Path) -> None:
    """Train in every way, and write down what came out on this process."""
    team = distributed.team()
    results = {name: train(team, **way) for name, way in WAYS.items()}
    (folder / f"{team.rank}.json").write_text(json.dumps(results), encoding="utf-8")


def test_two_processes_train_as_one_does(tmp_path, monkeypatch):
    from tests.runtime.test_distributed import torchrun

    monkeypatch.setenv("PYTHONPATH", str(PROJECT_ROOT))
    torchrun(__file__, str(tmp_path))
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    for name, way in WAYS.items():
        expected = train(ALONE, **way)
        assert len(first[name]["history"]) == 2
        for found, wanted in zip(first[name]["history"], expected["history"], strict=True):
            assert found == pytest.approx(wanted, rel=1e-4), name
        assert first[name]["weights"] == pytest.approx(expected["weights"], rel=1e-4), name


@pytest.mark.parametrize(("count", "size"), [(32, 2), (7, 3), (1, 4), (0, 2)])
def test_shares_cover_all_rows_once(count, size):
    shares = [share_of(Team(rank=rank, size=size), count) for rank in range(size)]
    assert [i for share in shares for i in range(count)[share]] == list(range(count))
    lengths = [share.stop - share.start for share in shares]
    assert max(lengths) - min(lengths) <= 1


def test_alone_nothing_is_gathered():
    rows = torch.ones(3, 2)
    assert gather_rows(ALONE, rows, 3) is rows


if __name__ == "__main__":
    main(Path(sys.argv[1]))
