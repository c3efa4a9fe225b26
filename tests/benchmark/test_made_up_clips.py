import numpy as np

from utils.benchmark.made_up_clips import ImaginedClips

NAMES = ["Rain", "Raindrop", "Dog", "Bark", *(f"Machine {i}" for i in range(36))]


def world(seed=0):
    vectors = np.eye(len(NAMES), dtype=np.float32)
    vectors[1] = vectors[0]  # two names that mean the same
    return ImaginedClips(NAMES, vectors, rng=np.random.default_rng(seed))


def test_the_loud_tags_stand_out_and_lift_what_is_alike():
    logits, tags = world().draw(2000)
    assert logits.shape == (2000, len(NAMES))
    assert logits.dtype == np.float32
    loud = np.zeros(logits.shape, bool)
    for row, of_clip in enumerate(tags):
        assert 1 <= len(of_clip) <= 4
        loud[row, of_clip] = True
    rain, drops = loud[:, 0] & ~loud[:, 1], ~loud[:, 0] & ~loud[:, 1]
    assert logits[rain, 1].mean() > logits[drops, 1].mean() + 5
    loud[:, :2] = loud[:, :2].any(axis=1, keepdims=True)
    assert (logits[loud] > 0).mean() > 0.95
    assert (logits[~loud] < 0).mean() > 0.95


def test_some_tags_are_heard_more_often_than_others():
    _, tags = world().draw(2000)
    heard = np.sort(np.bincount(np.concatenate(tags), minlength=len(NAMES)))
    assert heard[-1] > 8 * heard[0] > 0


def test_a_caption_names_loud_tags_and_no_other():
    clips = world()
    for of_clip in clips.draw(100)[1]:
        caption = clips.describe(of_clip).replace("raindrop", "drop")
        names = {i: NAMES[i].lower().replace("raindrop", "drop") for i in range(4)}
        told = {i for i, name in names.items() if name in caption}
        assert told <= set(of_clip.tolist())
    assert clips.describe(np.array([2])) in {
        "dog", "the sound of dog", "dog can be heard", "dog in the distance"
    }  # fmt: skip


def test_a_seed_decides_all():
    one, other = world(), world()
    drawn = [clips.draw(5) for clips in (one, other)]
    assert drawn[0][0].tolist() == drawn[1][0].tolist()
    assert one.describe(drawn[0][1][0]) == other.describe(drawn[1][1][0])
    assert world(1).draw(5)[0].tolist() != drawn[0][0].tolist()
