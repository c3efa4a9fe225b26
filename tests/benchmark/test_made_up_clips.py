import numpy as np

from utils.benchmark.made_up_clips import MadeUpClips

NAMES = ["Rain", "Raindrop", "Dog", "Bark", *(f"Machine {i}" for i in range(36))]


def made_up_clips(seed=0):
    vectors = np.eye(len(NAMES), dtype=np.float32)
    vectors[1] = vectors[0]  # two names that mean the same
    return MadeUpClips(NAMES, vectors, rng=np.random.default_rng(seed))


def test_high_tags_raise_tags_of_similar_meaning():
    logits, tags = made_up_clips().draw(2000)
    assert logits.shape == (2000, len(NAMES))
    assert logits.dtype == np.float32
    high = np.zeros(logits.shape, bool)
    for row, of_clip in enumerate(tags):
        assert 1 <= len(of_clip) <= 4
        high[row, of_clip] = True
    rain, drops = high[:, 0] & ~high[:, 1], ~high[:, 0] & ~high[:, 1]
    assert logits[rain, 1].mean() > logits[drops, 1].mean() + 5
    high[:, :2] = high[:, :2].any(axis=1, keepdims=True)
    assert (logits[high] > 0).mean() > 0.95
    assert (logits[~high] < 0).mean() > 0.95


def test_some_tags_are_more_frequent_than_others():
    _, tags = made_up_clips().draw(2000)
    count = np.sort(np.bincount(np.concatenate(tags), minlength=len(NAMES)))
    assert count[-1] > 8 * count[0] > 0


def test_a_caption_names_high_tags_only():
    clips = made_up_clips()
    for of_clip in clips.draw(100)[1]:
        caption = clips.describe(of_clip).replace("raindrop", "drop")
        names = {i: NAMES[i].lower().replace("raindrop", "drop") for i in range(4)}
        named = {i for i, name in names.items() if name in caption}
        assert named <= set(of_clip.tolist())
    assert clips.describe(np.array([2])) in {
        "dog", "the sound of dog", "dog can be heard", "dog in the distance"
    }  # fmt: skip


def test_everything_depends_on_the_seed_alone():
    one, other = made_up_clips(), made_up_clips()
    drawn = [clips.draw(5) for clips in (one, other)]
    assert drawn[0][0].tolist() == drawn[1][0].tolist()
    assert one.describe(drawn[0][1][0]) == other.describe(drawn[1][1][0])
    assert made_up_clips(1).draw(5)[0].tolist() != drawn[0][0].tolist()
