"""File names of the demo set, similar to those of Clotho's sounds on Freesound.

About a quarter are as awkward as Clotho's: edge spaces, HTML entities that must not be unescaped,
commas, brackets, per cent signs. The only digits of a name are its clip's number, so that names
are unique in a split (even if case is ignored).
"""

from utils.demo.scenes.scene import Scene

AWKWARD_EVERY, AWKWARD_AT = 4, 1
SHARED_STEM = "Field recording, untitled "  # clip 0 of two splits: same name, other sound
SHARED_SPLITS = ("development", "evaluation")
NUMBER_START, NUMBER_STEP, NUMBERS = 20417, 7919, 1_000_003  # the step is prime to their number

PLAIN = (
    "{words} {n}",
    "{words}_{n}",
    "{n} {words}",
    "{WORDS}{n}",
    "{words}.{n}",
    "ZOOM_{n}",
    "{n}_{words}_edit",
    "DR-{n}",
    "{words}, take {n}",
)
AWKWARD = (
    " {words} {n}",
    "{words} {n} ",
    "{words} &amp; room tone {n}",
    "Grandpa&#39;s {words} {n}",
    "&quot;{words}&quot; {n}",
    "{words}, outside, {n}",
    "{words} #{n}",
    "[{words}] {n}",
    "{words} {n}%",
    "{words} @ home {n}",
    "{words}! {n}",
    "~{words}~ {n}",
    "it's {words} {n}",
    "  {words} {n} ",
    "{words} (recorded with two small microphones in the garden behind the house, "
    "slightly cleaned, not normalised) {n}",
)


def clip_name(scene: Scene, split: str, index: int) -> str:
    """Return the file name of clip `index`, which is unique in `split` and always the same.

    Parameters
    ----------
    scene : Scene
        Most names mention the kind of its last event.
    index : int
        From 0, below 1 000 003.

    """
    if index == 0 and split in SHARED_SPLITS:
        return f"{SHARED_STEM}.wav"
    block, place = divmod(index, AWKWARD_EVERY)
    if place == AWKWARD_AT:
        pattern = AWKWARD[block % len(AWKWARD)]
    else:
        pattern = PLAIN[(index - block) % len(PLAIN)]
    words = scene.events[-1].kind.name.replace("_", " ")
    number = (NUMBER_START + NUMBER_STEP * index) % NUMBERS
    return pattern.format(words=words, WORDS=words.title().replace(" ", ""), n=number) + ".wav"
