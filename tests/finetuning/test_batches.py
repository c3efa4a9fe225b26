"""Sounds in the cache, and batches of them."""

import numpy as np
import pytest
import soundfile
import torch

from models.architectures import MIN_SAMPLES, SAMPLE_RATE
from utils.finetuning.batches import CaptionedClips, Clips, collate_clips, collate_pairs
from utils.finetuning.sound_cache import FULL_SCALE, SoundCache

WINDOW = 10 * MIN_SAMPLES


@pytest.fixture
def cache(tmp_path) -> SoundCache:
    """A cache with three sounds: s0 of half a window, s1 of 2.5 windows, s2 of 5."""
    paths, sources = {}, {}
    rng = np.random.default_rng(0)
    for name, windows in (("s0", 0.5), ("s1", 2.5), ("s2", 5)):
        samples = rng.uniform(-0.5, 0.5, (round(windows * WINDOW), 2))
        paths[name] = tmp_path / f"{name}.wav"
        soundfile.write(paths[name], samples, SAMPLE_RATE, subtype="FLOAT")
        sources[name] = name
    cache = SoundCache(tmp_path / "cache")
    done = []
    assert cache.fill(paths, sources, advance=done.append) == {}
    assert sum(done) == 3
    return cache


def clips(cache: SoundCache, most: int = 3) -> Clips:
    return Clips(cache, ["s0", "s1", "s2"], WINDOW, most)


def test_the_cache_has_the_mean_of_the_channels_in_16_bits(cache, tmp_path):
    samples, _ = soundfile.read(tmp_path / "s1.wav")
    np.testing.assert_allclose(
        cache.load("s1") / FULL_SCALE, samples.mean(axis=1), atol=0.51 / FULL_SCALE
    )


def test_a_sound_that_clips_stays_at_full_scale(tmp_path):
    path = tmp_path / "loud.wav"
    soundfile.write(path, np.array([2.0, -2.0, 0.25]), SAMPLE_RATE, subtype="FLOAT")
    cache = SoundCache(tmp_path / "cache")
    cache.fill({"a": path}, {"a": "loud"}, advance=lambda count: None)
    assert cache.load("loud").tolist() == [FULL_SCALE - 1, -FULL_SCALE, FULL_SCALE // 4]


def test_what_is_in_the_cache_is_not_decoded_again(cache, tmp_path):
    (tmp_path / "s0.wav").unlink()
    done = []
    assert cache.fill({"s0": tmp_path / "s0.wav"}, {"s0": "s0"}, advance=done.append) == {}
    assert sum(done) == 1


def test_a_sound_that_cannot_be_used_is_reported_and_leaves_no_file(tmp_path):
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"no sound")
    cache = SoundCache(tmp_path / "cache")
    failed = cache.fill({"b": broken}, {"b": "broken"}, advance=lambda count: None)
    assert list(failed) == ["b"]
    assert not list((tmp_path / "cache").rglob("*.i16"))


def test_a_batch_has_each_sound_in_windows_one_after_the_other(cache):
    dataset = clips(cache)
    batch = collate_clips(WINDOW, [dataset[0], dataset[1]])
    assert batch.samples.shape == (4, WINDOW)
    assert batch.clips.tolist() == [0, 1, 1, 1]
    assert batch.weights.tolist() == [0.5, 1, 1, 0.5]
    sound = np.asarray(cache.load("s1"))
    half = WINDOW // 2
    np.testing.assert_array_equal(batch.samples[1:3].flatten(), sound[: 2 * WINDOW])
    np.testing.assert_array_equal(batch.samples[3, :half], sound[2 * WINDOW :])
    np.testing.assert_array_equal(batch.samples[3, half:], sound[-2 : -half - 2 : -1])


def test_windows_are_no_longer_than_the_longest_sound_of_a_batch(cache):
    batch = collate_clips(WINDOW, [clips(cache)[0]])
    assert batch.samples.shape == (1, WINDOW // 2)
    assert batch.weights.tolist() == [1]


def test_a_sound_without_samples_or_with_one_is_filled_up():
    empty, one = np.empty(0, np.int16), np.array([7], np.int16)
    batch = collate_clips(WINDOW, [(0, empty), (1, one)])
    assert batch.samples.shape == (2, MIN_SAMPLES)
    assert not batch.samples[0].any()
    assert set(batch.samples[1].tolist()) == {7}
    assert (batch.weights > 0).all()


def test_of_a_long_sound_a_part_is_taken_by_chance(cache):
    dataset, sound = clips(cache), np.asarray(cache.load("s2"))
    np.testing.assert_array_equal(dataset.samples(2), sound[: 3 * WINDOW])
    np.testing.assert_array_equal(dataset.samples(2, 0.999999), sound[-3 * WINDOW :])


def test_an_epoch_has_every_caption_once_in_another_order(cache):
    of_captions = np.array([0, 0, 1, 2, 2])
    orders = []
    for seed in (1, 2):
        pairs = CaptionedClips(clips(cache), of_captions, seed=seed, one_each=False)
        batch = collate_pairs(WINDOW, [pairs[i] for i in range(len(pairs))])
        assert batch.windows.numbers.tolist() == of_captions[batch.captions].tolist()
        orders.append(batch.captions.tolist())
    assert sorted(orders[0]) == sorted(orders[1]) == [0, 1, 2, 3, 4]
    assert orders[0] != orders[1]


def test_an_epoch_may_have_one_caption_of_each_clip(cache):
    of_captions = np.array([0, 0, 1, 2, 2])
    drawn = set()
    for seed in range(20):
        pairs = CaptionedClips(clips(cache), of_captions, seed=seed, one_each=True)
        captions = [pairs[i][2] for i in range(len(pairs))]
        assert sorted(of_captions[captions]) == [0, 1, 2]
        drawn |= set(captions)
    assert drawn == {0, 1, 2, 3, 4}


def test_batches_are_tensors(cache):
    batch = collate_clips(WINDOW, [clips(cache)[1]])
    assert batch.samples.dtype == torch.int16
    assert batch.weights.dtype == torch.float32
