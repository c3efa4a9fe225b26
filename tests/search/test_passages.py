import itertools

import numpy as np
import pytest

from utils.search.passages import cut_passages, row_width

HOP = 2.5
CUT = {"tags": 3, "hop_seconds": HOP}


def cut(windows, **options):
    """Cut windows that come in batches; returns all passages, and all rows."""
    duration = HOP * (len(windows) - 1) + 1
    batches = np.array_split(windows, range(2, len(windows), 2))
    done = list(cut_passages("s", batches, duration=duration, **CUT, **options))
    return [p for passages, _ in done for p in passages], np.concatenate([rows for _, rows in done])


def outputs_of(count):
    return np.random.default_rng(0).standard_normal((count, 5)).astype(np.float32)


@pytest.mark.parametrize("windows", [1, 5, 13, 14, 19, 20, 21, 28, 29, 100])
def test_passages_cover_the_sound_without_gaps(windows):
    outputs = outputs_of(windows)
    passages, rows = cut(outputs)
    assert passages[0].start == 0
    assert passages[-1].end == HOP * (windows - 1) + 1
    assert all(one.end == other.start for one, other in itertools.pairwise(passages))
    assert [passage.number for passage in passages] == list(range(len(passages)))
    assert [passage.is_last for passage in passages] == [False] * (len(passages) - 1) + [True]
    assert len(passages) == len(rows) == (1 if windows <= 13 else round(windows / 8))
    assert (len(passages) > 1) == (windows > 13)
    if windows > 13:
        assert all(7.5 < passage.end - passage.start <= 30 for passage in passages)
    edges = [8 * number for number in range(len(passages))] + [windows]
    for row, (first, end) in zip(rows, itertools.pairwise(edges), strict=True):
        np.testing.assert_array_equal(row[:5], outputs[first:end].mean(axis=0))
        peaks = row[5:].view(np.float16)
        np.testing.assert_array_equal(peaks[:3], outputs[first:end, :3].max(axis=0).astype("<f2"))
    assert rows.shape[1] == row_width(5, 3) == 7


@pytest.mark.parametrize("windows", [14, 20, 21, 28, 29, 100])
def test_a_sound_is_cut_alike_from_any_of_its_passages_on(windows):
    outputs = outputs_of(windows)
    passages, rows = cut(outputs)
    for first in range(1, len(passages)):
        later = cut_passages(
            "s", [outputs[8 * first :]], first=first, duration=passages[-1].end, **CUT
        )
        found = list(later)
        assert [p for some, _ in found for p in some] == passages[first:]
        np.testing.assert_array_equal(np.concatenate([some for _, some in found]), rows[first:])


def test_windows_of_a_passage_count_by_their_share_of_the_sound():
    outputs = np.random.default_rng(0).standard_normal((21, 600)).astype(np.float32)
    duration = 51.0  # the window at 47.5 s has 1.5 s mirrored, that at 50 s 4 s
    cut = cut_passages(
        "s", [outputs], tags=527, duration=duration, hop_seconds=HOP, window_seconds=10.0
    )
    rows = np.concatenate([rows[:, :600] for _, rows in cut])
    for row, windows, weights in (
        (rows[0], outputs[:8], [0, 0, 1, 1, 1, 1, 1, 1]),
        (rows[1], outputs[8:16], np.ones(8)),
        (rows[2], outputs[16:], [1, 1, 1, 0.4, 0]),
    ):
        expected = np.average(windows, axis=0, weights=weights)
        np.testing.assert_allclose(row, expected, atol=1e-5)


def test_passages_come_while_a_sound_is_still_read():
    def batches():
        for number in range(14_400):  # ten hours
            yield np.full((1, 5), number, np.float32)
            held.append(number)

    held = []
    for passages, _ in cut_passages("s", batches(), duration=36_000, **CUT):
        assert len(passages) == 1
        assert len(held) <= 8 * passages[0].number + 14 or passages[0].is_last


def test_peaks_change_a_probability_by_a_ten_thousandth_at_most():
    logits = np.linspace(-20, 20, 100_001).astype(np.float32)
    _, row = next(
        iter(cut_passages("s", [logits[None]], tags=len(logits), duration=1.0, hop_seconds=HOP))
    )
    peaks = row[0, len(logits) :].view(np.float16)[: len(logits)].astype(np.float64)
    error = 1 / (1 + np.exp(-peaks)) - 1 / (1 + np.exp(-logits.astype(np.float64)))
    assert np.abs(error).max() < 1.2e-4
