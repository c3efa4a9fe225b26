import csv
import json
import re
import shutil
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import soundfile

from utils.datasets import audiocaps
from utils.datasets.splits import SPLITS
from utils.demo import scenes
from utils.demo.scenes import demo_set
from utils.demo.scenes.captions import NUMBERS, _tempo
from utils.demo.scenes.names import clip_name
from utils.demo.scenes.scene import HIGHEST_PEAK, LOUD_DB, QUIET_DB, Event, Scene, loudest_level
from utils.demo.sound_events import EVENT_KINDS
from utils.runtime.errors import InputError

CLIPS = (16, 3, 3)
COUNTS = {"once": 1, "a single": 1, "twice": 2, "a couple of": 2, "more than once": 2}
COUNTS |= {word: number for number, word in enumerate(NUMBERS) if number}


def rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def sequence(*names: str) -> Scene:
    events = tuple(
        Event(EVENT_KINDS[name], 4.0 * i, 3.0, max(2, EVENT_KINDS[name].counts[0]), -20.0)
        for i, name in enumerate(names)
    )
    return Scene(4.0 * len(names), events, "sequence")


def single(name: str, **changes) -> Scene:
    values = {"onset": 0.1, "seconds": 4.0, "count": 1, "level_db": -20.0, **changes}
    return Scene(5.0, (Event(EVENT_KINDS[name], **values),), "single")


def words_of(kind) -> list[str]:
    """Verbs and nouns of a kind, as captions may write them."""
    verbs = [word for clause in kind.clauses for word in (clause.verb, clause.gerund)]
    nouns = [word for noun in kind.nominals for word in (noun.head, noun.plural) if word]
    return verbs + nouns


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "set"
    report = scenes.write_demo_set(folder, clips=CLIPS, seed=5)
    assert report == scenes.DemoSetReport(written=sum(CLIPS), kept=0, up_to_date=False)
    return folder


@pytest.fixture
def copied(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "set"))


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def read_csv(folder: Path, split: str) -> list[list[str]]:
    with (folder / f"clotho_captions_{split}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_scenes_last_3_to_14_seconds_and_hold_their_events() -> None:
    layouts = set()
    for index in range(400):
        scene = scenes.sample_scene(rng(1, index))
        layouts.add((scene.layout, len(scene.events)))
        assert 3 <= scene.duration <= 14
        assert [event.onset for event in scene.events] == sorted(e.onset for e in scene.events)
        assert len({event.kind.name for event in scene.events}) == len(scene.events)
        for event in scene.events:
            assert event.onset >= 0
            assert event.onset + event.seconds <= scene.duration + 1e-9
            assert event.count == 1 or event.kind.countable
        if scene.layout == "background":
            assert scene.events[0].kind.sustained
            assert scene.events[0].seconds == scene.duration
            assert all(e.level_db > scene.events[0].level_db + 5 for e in scene.events[1:])
        elif scene.layout == "sequence":
            ends = [event.onset + event.seconds for event in scene.events]
            assert all(e.onset > end for e, end in zip(scene.events[1:], ends, strict=False))
    assert layouts == {
        ("single", 1), ("sequence", 2), ("sequence", 3), ("background", 2), ("background", 3)
    }  # fmt: skip


def test_kinds_can_be_included_or_restricted_and_have_sorted_unique_tags() -> None:
    kinds = {name: EVENT_KINDS[name] for name in ("dog", "rain")}
    seen = set()
    for index in range(30):
        included = scenes.sample_scene(rng(index), include=tuple(kinds)).events
        assert {event.kind.name for event in included} == {*kinds}
        seen |= {e.kind.name for e in scenes.sample_scene(rng(index), kinds=kinds).events}
    assert seen == {*kinds}
    tags = scenes.scene_tags(sequence("dog", "cat"))
    assert tags == ("Animal", "Bark", "Cat", "Dog", "Domestic animals, pets", "Meow")


def test_a_scene_of_no_kinds_or_too_many_channels_is_refused() -> None:
    with pytest.raises(ValueError, match="got 0 kinds to choose from"):
        scenes.sample_scene(rng(0), kinds={})
    with pytest.raises(ValueError, match="channels must be 1 or 2, got 3"):
        scenes.render_scene(sequence("dog"), rng(0), 32000, channels=3)


@pytest.mark.parametrize("rate", [22050, 44100])
def test_rendering_has_the_length_of_the_scene_and_does_not_clip(rate: int) -> None:
    for index in range(4):
        scene = scenes.sample_scene(rng(2, index))
        sound = scenes.render_scene(scene, rng(index), rate)
        assert sound.dtype == np.float32
        assert sound.shape == (round(scene.duration * rate),)
        assert 0.01 < np.abs(sound).max() <= HIGHEST_PEAK + 1e-6
        assert np.array_equal(sound, scenes.render_scene(scene, rng(index), rate))


def test_events_have_their_level_and_place() -> None:
    sound = scenes.render_scene(single("dial_tone", onset=2.0, seconds=2.0), rng(1), 32000)
    assert 20 * np.log10(loudest_level(sound, 32000)) == pytest.approx(-20, abs=1)
    assert loudest_level(sound[: 2 * 32000 - 100], 32000) < 0.01


def test_stereo_channels_differ_but_hold_the_same_scene() -> None:
    scene = sequence("dog", "rain")
    sound = scenes.render_scene(scene, rng(3), 32000, channels=2)
    assert sound.shape == (8 * 32000, 2)
    assert not np.array_equal(sound[:, 0], sound[:, 1])
    frames = np.square(sound).reshape(80, -1, 2).mean(axis=1)
    assert np.corrcoef(frames.T)[0, 1] > 0.9


def test_captions_are_five_distinct_grammatical_sentences_about_every_event() -> None:
    plural = r"(two|three|four|five|six|seven|eight|several|many|a few|a couple of|a number of)"
    faults = re.compile(
        rf"\ba [aeiou]|\ban [^aeiou]|  | ,|\bthere is {plural}\b|\bthere are (a|an|one|the) (?!few"
        rf"|couple|number)|\b(a|an|the) {plural}\b|a series of [a-z -]+ are\b|,,|\.\.|[{{}}]",
        re.IGNORECASE,
    )
    for index in range(400):
        scene = scenes.sample_scene(rng(11, index))
        captions = scenes.describe_scene(scene, rng(12, index))
        assert len({caption.lower().rstrip(".") for caption in captions}) == 5
        for caption in captions:
            assert 6 <= len(caption.replace("-", " ").split()) <= 20, caption
            assert caption[0].isupper()
            assert not faults.search(caption), caption
            for event in scene.events:
                assert any(w in caption.lower() for w in words_of(event.kind)), (event, caption)
            if re.search(r"background|\bwhile\b", caption):
                assert scene.layout == "background", caption


@pytest.mark.parametrize("name", ["dog", "knock", "owl", "piano", "church_bell", "thunder"])
def test_counts_in_captions_are_the_real_ones(name: str) -> None:
    stated = set()
    pattern = re.compile(r"\b(" + "|".join(sorted(COUNTS, key=len, reverse=True)) + r")\b")
    for index in range(60):
        count = 1 + index % 5
        for caption in scenes.describe_scene(single(name, count=count), rng(index)):
            for word in pattern.findall(caption.lower()):
                assert COUNTS[word] == count, caption
                stated.add(count)
    assert stated == {1, 2, 3, 4, 5}


@pytest.mark.parametrize(
    ("heard", "wanted", "unwanted"),
    [
        ({"level_db": LOUD_DB + 2}, [r"loud|nois"], r"quiet|faint|distan|far"),
        ({"level_db": QUIET_DB - 2}, [r"quiet|faint"], r"loud|nois|distan"),
        ({"level_db": -20.0}, [], r"loud|nois|quiet|faint|distan"),
        ({"level_db": -30.0, "distant": True}, ["in the distance", "distant"], r"loud|nois"),
    ],
)
def test_loudness_and_distance_in_captions_are_those_of_the_event(heard, wanted, unwanted) -> None:
    scene = single("dog", count=3, **heard)
    text = " ".join(c for i in range(10) for c in scenes.describe_scene(scene, rng(i)))
    assert all(re.search(words, text) for words in wanted)
    assert not re.search(unwanted, text)


@pytest.mark.parametrize(
    ("seconds", "tempo"), [(5 * 0.36, "fast"), (5 * 0.6, None), (5 * 0.88, "slow")]
)
def test_tempo_follows_from_the_period(seconds: float, tempo: str | None) -> None:
    assert _tempo(single("dog", count=5, seconds=seconds).events[0]) == tempo


@pytest.mark.parametrize(
    "names", [("dog", "siren"), ("siren", "dog"), ("knock", "owl"), ("thunder", "cat")]
)
def test_order_words_agree_with_the_order_of_the_events(names: tuple[str, str]) -> None:
    scene = sequence(*names)
    kinds = [event.kind for event in scene.events]
    for index in range(30):
        for caption in scenes.describe_scene(scene, rng(index)):
            text = caption.lower()
            found = [re.search("|".join(map(re.escape, words_of(kind))), text) for kind in kinds]
            positions = [match.start() for match in found]
            reverses = re.search(r".\bafter ", text)  # not where the sentence begins with it
            assert (positions[0] > positions[1]) == bool(reverses), caption
            assert re.search(r"then|follow|before|after|later|gives? way", text), caption


def test_layout_is_that_of_clotho(written: Path) -> None:
    for split, clips, crlf in zip(SPLITS, CLIPS, (True, True, False), strict=True):
        header, *rows = read_csv(written, split)
        assert header == ["file_name", *(f"caption_{i}" for i in range(1, 6))]
        assert len(rows) == clips
        assert all(len(row) == 6 and len(set(row[1:])) == 5 for row in rows)
        names = [row[0] for row in rows]
        assert len(set(map(str.casefold, names))) == clips
        assert {path.name for path in (written / split).iterdir()} == set(names)
        content = (written / f"clotho_captions_{split}.csv").read_bytes()
        assert content.count(b"\n") == clips + 1
        assert content.count(b"\r\n") == (clips + 1 if crlf else 0)
    assert {path.name for path in written.iterdir()} == {
        *SPLITS, *(f"clotho_captions_{split}.csv" for split in SPLITS), "demo_set.json"
    }  # fmt: skip


def test_formats_vary_as_real_collections_do(written: Path) -> None:
    infos = [soundfile.info(path) for path in sorted((written / "development").iterdir())]
    assert {info.samplerate for info in infos} == {22050, 32000, 44100, 48000}
    assert {info.channels for info in infos} == {1, 2}
    assert {info.subtype for info in infos} == {"PCM_16", "PCM_24"}
    assert sum(info.samplerate == 44100 for info in infos) > len(infos) / 2


def test_names_are_as_awkward_as_in_clotho_and_unique() -> None:
    names = [demo_set.clip_plan(2022, 0, index)[2] for index in range(60)]
    for oddity in ("&amp;", "&#39;", "&quot;", ",", "#", "[", "]", "%", "@", "!", "~", "'"):
        assert any(oddity in name for name in names), oddity
    assert any(name.startswith(" ") for name in names)
    assert any(name.endswith(" .wav") for name in names)
    assert max(map(len, names)) > 100
    assert max(map(len, names)) <= 133
    assert len({name.casefold().strip() for name in names}) == 60
    made = {clip_name(single("dog"), "development", index) for index in range(20000)}
    assert len({name.casefold().replace(" ", "") for name in made}) == 20000


def test_one_name_is_used_in_two_splits_for_different_sounds(written: Path) -> None:
    development, evaluation = (contents(written / s) for s in ("development", "evaluation"))
    common = development.keys() & evaluation.keys()
    assert common
    assert all(development[name] != evaluation[name] for name in common)


def test_every_kind_occurs_at_least_twice_in_each_split() -> None:
    for split_index, clips in enumerate(scenes.DEFAULT_CLIPS["clotho"]):
        planned = [n for i in range(clips) for n in demo_set.planned_kinds(2022, split_index, i)]
        assert min(planned.count(name) for name in EVENT_KINDS) >= 2


def test_a_complete_set_has_a_manifest_and_is_left_alone(written: Path) -> None:
    manifest = json.loads((written / "demo_set.json").read_text())
    assert manifest["seed"] == 5
    assert manifest["clips"] == dict(zip(SPLITS, CLIPS, strict=True))
    assert manifest["generator_version"] == demo_set.GENERATOR_VERSION
    assert "Synthetic" in manifest["statement"]
    before = {path: path.stat().st_mtime_ns for path in written.rglob("*")}
    report = scenes.write_demo_set(written, clips=CLIPS, seed=5)
    assert report.up_to_date
    assert before == {path: path.stat().st_mtime_ns for path in written.rglob("*")}


def test_missing_file_is_made_again(written: Path, copied: Path) -> None:
    lost = sorted((copied / "validation").iterdir())[0]
    lost.unlink()
    report = scenes.write_demo_set(copied, clips=CLIPS, seed=5)
    assert (report.written, report.kept) == (1, sum(CLIPS) - 1)
    assert contents(copied) == contents(written)


def test_interrupted_run_is_resumed_to_the_same_bytes_by_any_number_of_processes(
    written: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "set"
    bar = Mock(update=Mock(side_effect=[None, None, None, KeyboardInterrupt]))
    progress = Mock(return_value=nullcontext(bar))
    with pytest.raises(KeyboardInterrupt):
        scenes.write_demo_set(folder, clips=CLIPS, seed=5, progress=progress)
    progress.assert_called_once_with(sum(CLIPS))
    assert not list(folder.glob("*.csv"))
    assert not (folder / demo_set.MANIFEST).exists()
    (folder / "development" / ".0123456789abcdef.tmp").write_bytes(b"RIFF")
    report = scenes.write_demo_set(folder, clips=CLIPS, seed=5, jobs=2)
    assert (report.written, report.kept) == (sum(CLIPS) - 4, 4)
    assert contents(folder) == contents(written)


@pytest.mark.parametrize(("seed", "interrupted"), [(6, False), (5, True)])
def test_other_parameters_replace_the_clips_and_nothing_else(copied, seed, interrupted) -> None:
    if interrupted:
        (copied / demo_set.MANIFEST).rename(copied / demo_set.MARKER)
    soundfile.write(copied / "development" / "my own.wav", np.zeros(100), 44100)
    scenes.write_demo_set(copied, clips=(2, 1, 1), seed=seed)
    assert (copied / "development" / "my own.wav").exists()
    assert [len(list((copied / split).iterdir())) for split in SPLITS] == [3, 1, 1]
    assert [len(read_csv(copied, split)) - 1 for split in SPLITS] == [2, 1, 1]


def test_a_set_of_an_older_generator_is_replaced(written: Path, copied: Path) -> None:
    manifest = copied / demo_set.MANIFEST
    parameters = json.loads(manifest.read_text())
    parameters["generator_sha256"] = 64 * parameters.pop("generator_version")
    manifest.write_text(json.dumps(parameters))
    clip = sorted((copied / "validation").iterdir())[0]
    with soundfile.SoundFile(clip, "w", 8000, 1) as file:
        file.comment = f"{demo_set.STATEMENT}. {64 * 'a'} seed 5 validation 0"
    assert scenes.write_demo_set(copied, clips=CLIPS, seed=5).written == 1
    assert contents(copied) == contents(written)


@pytest.mark.parametrize("name", ["development/a.wav", demo_set.MANIFEST])
def test_foreign_folder_is_refused_and_untouched(tmp_path: Path, name: str) -> None:
    (tmp_path / "development").mkdir()
    (tmp_path / name).write_bytes(b"[1, 2]")
    with pytest.raises(InputError, match=r"not empty \(.*development\).*choose an empty folder"):
        scenes.write_demo_set(tmp_path, clips=(1, 1, 1))
    assert contents(tmp_path) == {name: b"[1, 2]"}


def test_file_in_the_way_is_refused(copied: Path) -> None:
    path = sorted((copied / "evaluation").iterdir())[0]
    path.write_bytes(b"something else")
    (copied / "clotho_captions_evaluation.csv").unlink()
    with pytest.raises(InputError, match="is not part of the demo set"):
        scenes.write_demo_set(copied, clips=CLIPS, seed=5)
    assert path.read_bytes() == b"something else"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"clips": (0, 1, 1)}, r"three numbers from 1 to 1000003, got \(0, 1, 1\)"),
        ({"seed": -1}, "seed must not be negative, got -1"),
        ({"jobs": 0}, "jobs must be at least 1, got 0"),
    ],
)
def test_arguments_out_of_range_are_refused(tmp_path: Path, arguments, message: str) -> None:
    with pytest.raises(InputError, match=message):
        scenes.write_demo_set(tmp_path / "new", **arguments)
    assert not (tmp_path / "new").exists()


@pytest.fixture(scope="module")
def audiocaps_set(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("audiocaps")
    scenes.write_demo_set(folder, clips=(21, 2, 2), seed=3, layout=scenes.AUDIOCAPS)
    return folder


def test_the_audiocaps_layout_is_read_as_audiocaps(audiocaps_set: Path) -> None:
    result = audiocaps.preprocess_audiocaps(audiocaps_set)
    counts = [(i["num_clips"], i["num_captions"]) for i in result.vocab_info.split_infos.values()]
    assert counts == [(20, 20), (2, 10), (2, 10)]
    assert len(result.missing) == 1
    names = result.audio_info["audio_fnames"]["train"]
    assert {name[0] for name in names} == {"-", "S", "_"}
    assert {Path(name).suffix for name in names} == {".wav", ".flac"}
    for name in names:
        samples, _ = soundfile.read(audiocaps_set / "audio/train" / name)
        assert np.abs(samples).max() > 0.01


def test_no_clip_is_in_both_layouts(audiocaps_set: Path) -> None:
    clips = [(split, index) for split, count in enumerate((21, 2, 2)) for index in range(count)]
    texts = {caption for clip in clips for caption in demo_set.clip_plan(3, *clip)[1]}
    for split in audiocaps.SPLITS:
        rows = audiocaps.read_captions_csv(audiocaps_set / f"{split}.csv")
        assert texts.isdisjoint(caption for _, caption in rows)


def test_an_audiocaps_set_is_left_alone_resumed_and_never_replaced_by_a_clotho_set(
    audiocaps_set: Path, tmp_path: Path
) -> None:
    options = {"clips": (21, 2, 2), "seed": 3, "layout": scenes.AUDIOCAPS}
    copied = Path(shutil.copytree(audiocaps_set, tmp_path / "set"))
    assert scenes.write_demo_set(copied, **options).up_to_date
    sorted((copied / "audio/train").iterdir())[0].unlink()
    report = scenes.write_demo_set(copied, **options)
    assert (report.written, report.kept) == (1, 23)
    with pytest.raises(InputError, match="of a demo set in this layout"):
        scenes.write_demo_set(copied, clips=(1, 1, 1), seed=3)
    assert contents(copied) == contents(audiocaps_set)
