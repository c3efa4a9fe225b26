import pytest
import torch

from models.architectures import CLASSES
from models.moment_net import CURVES, MomentNet, curves_of, novelty
from utils.moments.network_file import load_moment_net, save_moment_net
from utils.moments.ranking import rank_windows
from utils.moments.training import (
    Example,
    Schedule,
    moment_loss,
    share_of_cells,
    train_moment_net,
)
from utils.runtime.errors import InputError

CELLS = 60


def example(seed):
    """A query of which the likeness is high in every second peak alone: those that are long."""
    generator = torch.Generator().manual_seed(seed)
    start = int(torch.randint(35, 45, (), generator=generator))
    likeness = 0.05 * torch.randn(CELLS, generator=generator)
    likeness[10:12] += 1.2  # a peak that is never meant
    likeness[start : start + 8] += 1.0
    cells = torch.nn.functional.normalize(torch.randn(CELLS, 4, generator=generator), dim=1)
    window = (start / 2, start / 2 + 4)
    rows = torch.randn(CELLS, CLASSES + 3, generator=generator)
    return Example(curves_of(likeness, cells, rows), share_of_cells([window], CELLS)), window


def overlap_of_first(net, number):
    of, (start, end) = example(number)
    first = rank_windows(net.likely_cells(of.curves).numpy(), duration=30.0)[0]
    return max(0.0, min(end, first[1]) - max(start, first[0])) / (
        max(end, first[1]) - min(start, first[0])
    )


def trained(seed=1):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = MomentNet(width=16, depth=4)
    history = []
    train_moment_net(
        net,
        [example(number)[0] for number in range(24)],
        Schedule(epochs=12, batch_size=4, learning_rate=0.01, weight_decay=0.01),
        seed=seed,
        validate=lambda net: sum(overlap_of_first(net, number) for number in range(100, 104)),
        after_epoch=lambda *row: history.append(row),
    )
    return net, history


def test_training_learns_what_likeness_alone_does_not_say():
    net, history = trained()
    assert sum(overlap_of_first(net, number) > 0.7 for number in range(200, 210)) >= 9
    best = max(score for _, _, score, _ in history)
    assert next(improved for *_, improved in history)
    validated = sum(overlap_of_first(net, number) for number in range(100, 104))
    assert validated == pytest.approx(best)


def test_training_is_the_same_twice():
    (one, _), (other, _) = trained(), trained()
    for name, weights in one.state_dict().items():
        assert torch.equal(weights, other.state_dict()[name])


def test_padding_changes_nothing():
    net = MomentNet().eval()
    curves = torch.randn(1, CURVES, CELLS, generator=torch.Generator().manual_seed(1))
    padded = torch.nn.functional.pad(curves, (0, 20), value=3.0)
    with torch.inference_mode():
        alone = net(curves, torch.ones(1, CELLS, dtype=torch.bool))
        beside = net(padded, torch.arange(CELLS + 20)[None] < CELLS)
    torch.testing.assert_close(beside[:, :CELLS], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [1, 3, 8])
def test_a_change_of_sound_is_where_it_happens(size):
    cells = torch.zeros(20, 2)
    cells[:8, 0], cells[8:, 1] = 1, 1
    curve = novelty(cells, size)
    assert curve.argmax() == 8
    assert curve[8] == pytest.approx(1)
    assert curve[0] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("space", ["cells", "logits", "scene"])
def test_cells_that_sound_like_the_best_stand_out_in_every_space(space):
    """The event recurs, and only its first occurrence is like the query."""
    occurs = torch.tensor([4, 5, 14, 15])
    spaces = {"cells": torch.ones(20, 3), "logits": torch.zeros(20, CLASSES)}
    spaces["scene"] = torch.zeros(20, 6)
    before = curves_of(*described(spaces))
    spaces[space][occurs, 1] += 5
    after = curves_of(*described(spaces))
    (changed,) = [
        number for number in range(7, 10) if not torch.equal(before[number], after[number])
    ]
    assert changed == 7 + ["cells", "logits", "scene"].index(space)
    assert after[changed, occurs] == pytest.approx([1] * 4, abs=1e-4)
    assert after[changed].sort().values[:16].max() < 0


def described(spaces):
    likeness = 0.1 * torch.ones(20)
    likeness[4:6] = 1
    return likeness, spaces["cells"], torch.cat([spaces["logits"], spaces["scene"]], dim=1)


def test_the_loss_is_nothing_for_the_truth_and_weighs_short_moments_too():
    wanted = share_of_cells([(5, 6)], CELLS)[None]
    there = torch.ones(1, CELLS, dtype=torch.bool)
    assert moment_loss(40 * wanted - 20, wanted, there) == pytest.approx(0, abs=1e-4)
    # A second too much of sixty halves costs little by itself, and half of the overlap.
    longer = share_of_cells([(5, 7)], CELLS)[None]
    assert 0.15 < moment_loss(8 * longer - 4, wanted, there) < 0.5


def test_padding_does_not_change_the_loss():
    wanted, there = share_of_cells([(5, 6)], CELLS)[None], torch.ones(1, CELLS, dtype=torch.bool)
    logits = torch.randn(1, CELLS, generator=torch.Generator().manual_seed(1))
    padded = [torch.nn.functional.pad(part, (0, 9)) for part in (logits, wanted, there)]
    torch.testing.assert_close(moment_loss(*padded), moment_loss(logits, wanted, there))


def test_a_network_is_kept_in_a_file(tmp_path):
    net = MomentNet().eval()
    save_moment_net(tmp_path / "net.safetensors", net, {"queries": 3})
    curves = torch.randn(CURVES, CELLS)
    loaded = load_moment_net(tmp_path / "net.safetensors")
    assert torch.equal(loaded.likely_cells(curves), net.likely_cells(curves))


@pytest.mark.parametrize("content", [b"", b"{}", b"\0" * 100])
def test_another_file_is_refused(tmp_path, content):
    (tmp_path / "net.safetensors").write_bytes(content)
    with pytest.raises(InputError, match="train-moments"):
        load_moment_net(tmp_path / "net.safetensors")
    with pytest.raises(InputError, match="train-moments"):
        load_moment_net(tmp_path / "missing")
