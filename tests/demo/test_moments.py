import itertools
import json
import shutil
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import soundfile

from tests.demo.quick_source import Quick
from tests.support import load_script, write_captions
from utils.demo import moments
from utils.demo.moments import clip_source, recipe, synthetic_source
from utils.demo.moments.recording import SAMPLE_RATE, Recording
from utils.demo.sound_events import EVENT_KINDS
from utils.runtime.errors import InputError

RECORDINGS = (3, 1, 1)
SPLITS = ("train", "val", "test")


def noise(seed: int, seconds: float, rate: int = SAMPLE_RATE) -> np.ndarray:
    samples = np.random.default_rng(seed).standard_normal(round(seconds * rate))
    return (0.1 * samples).astype(np.float32)


def tone(seconds: float, rate: int = SAMPLE_RATE, pitch: float = 1000.0) -> np.ndarray:
    times = np.arange(round(seconds * rate)) / rate
    return (0.3 * np.sin(2 * np.pi * pitch * times)).astype(np.float32)


def decibels(samples: np.ndarray) -> float:
    return 20 * np.log10(recipe.rms(samples))


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def rows(folder: Path, split: str) -> list[dict]:
    path = folder / f"clotho_moment_{split}_release.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def quick(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("moments") / "set"
    report = moments.write_moment_set(folder, Quick(), recordings=RECORDINGS, seed=5)
    assert (report.written, report.kept, report.up_to_date) == (5, 0, False)
    return folder


@pytest.fixture
def copied(quick: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(quick, tmp_path / "set"))


@pytest.fixture(scope="module")
def synthetic() -> list[Recording]:
    source = moments.SyntheticSource()
    return [source.make(7, split, index) for split in ("train", "test") for index in range(2)]


def test_sounds_have_the_asked_level_against_the_background_in_the_same_place():
    background = noise(1, 10) * np.repeat([1.0, 0.3], 5 * SAMPLE_RATE).astype(np.float32)
    sound = tone(2) * np.linspace(0, 1, 2 * SAMPLE_RATE, dtype=np.float32)
    for start, db in ((1, -5.0), (7, 5.0)):
        placed = recipe.Placed(start * SAMPLE_RATE, sound, db)
        mixed = recipe.mix(background, -25.0, [placed])
        behind = recipe.mix(background, -25.0, [])
        window = slice(start * SAMPLE_RATE, (start + 2) * SAMPLE_RATE)
        assert decibels(behind) == pytest.approx(-25, abs=0.01)
        added = (mixed - behind)[window]
        assert decibels(added) - decibels(behind[window]) == pytest.approx(db, abs=0.01)
        assert np.array_equal(mixed[: window.start], behind[: window.start])
        assert np.array_equal(mixed[window.stop :], behind[window.stop :])


def test_a_mix_does_not_clip_and_keeps_its_levels_among_themselves():
    loud = recipe.Placed(0, tone(1), 5.0)
    mixed = recipe.mix(noise(1, 4), -3.0, [loud])
    assert np.abs(mixed).max() == pytest.approx(recipe.HIGHEST_PEAK)
    behind = decibels(mixed[SAMPLE_RATE:])
    power = 10 ** (decibels(mixed[:SAMPLE_RATE]) / 10) - 10 ** (behind / 10)
    assert 10 * np.log10(power) - behind == pytest.approx(5, abs=0.2)


def test_a_sound_over_digital_silence_in_the_background_is_heard():
    background = np.concatenate([noise(1, 5), np.zeros(5 * SAMPLE_RATE, np.float32)])
    mixed = recipe.mix(background, -20.0, [recipe.Placed(7 * SAMPLE_RATE, tone(1), 0.0)])
    assert decibels(mixed[7 * SAMPLE_RATE : 8 * SAMPLE_RATE]) == pytest.approx(-40, abs=0.1)


def test_silence_at_both_ends_is_cut_and_pauses_inside_are_kept():
    sound = np.concatenate([
        1e-3 * noise(1, 2), noise(2, 1), 1e-3 * noise(3, 3), noise(4, 1), 1e-3 * noise(5, 2.5)
    ])  # fmt: skip
    heard = recipe.audible(sound, SAMPLE_RATE, block_seconds=1.0, below_db=5.0)
    assert len(heard) == 5 * SAMPLE_RATE
    inner = slice(SAMPLE_RATE // 10, -SAMPLE_RATE // 10)
    assert np.array_equal(heard[inner], sound[2 * SAMPLE_RATE : 7 * SAMPLE_RATE][inner])
    assert heard[0] == heard[-1] == 0
    whole = recipe.audible(noise(1, 2.5), SAMPLE_RATE, block_seconds=1.0, below_db=5.0)
    assert len(whole) == 2.5 * SAMPLE_RATE


def test_a_short_background_is_looped_without_a_dip_or_a_click():
    looped = recipe.looped(noise(1, 7), 60 * SAMPLE_RATE, SAMPLE_RATE)
    assert len(looped) == 60 * SAMPLE_RATE
    levels = [decibels(part) for part in np.split(looped, 120)]
    assert max(levels) - min(levels) < 1
    smooth = tone(7, pitch=100.0)
    steps = np.abs(np.diff(recipe.looped(smooth, 60 * SAMPLE_RATE, SAMPLE_RATE)))
    assert steps.max() < 1.5 * np.abs(np.diff(smooth)).max()
    long = noise(2, 8)
    assert np.array_equal(
        recipe.looped(long, 6 * SAMPLE_RATE, SAMPLE_RATE), long[: 6 * SAMPLE_RATE]
    )


def test_synthetic_recordings_have_queries_whose_windows_do_not_overlap(synthetic):
    for recording in synthetic:
        seconds = len(recording.samples) / SAMPLE_RATE
        assert 60 <= seconds <= 300
        assert seconds == int(seconds)
        assert 0.01 < np.abs(recording.samples).max() <= recipe.HIGHEST_PEAK + 1e-6
        texts = [query.text for query in recording.queries]
        assert len(set(texts)) == len(texts) >= 4
        assert all(2 <= len(text.replace("-", " ").split()) <= 12 for text in texts)
        events = {json.dumps(query.windows): query for query in recording.queries}
        windows = sorted(w for query in events.values() for w in query.windows)
        assert windows[0][0] >= 0.5
        assert windows[-1][1] <= seconds
        pauses = [after[0] - before[1] for before, after in itertools.pairwise(windows)]
        assert all(pause >= 0.49 for pause in pauses)
        assert all(end - start >= 0.79 for start, end in windows)
        assert all(-5 <= query.fg_db <= 5 for query in recording.queries)


def test_synthetic_windows_are_where_the_events_are(synthetic, monkeypatch):
    """The same recording without its events differs from it inside the windows alone."""

    def without(background, level, sounds):
        kept.append((recipe.mix(background, -30.0, sounds), recipe.mix(background, -30.0, [])))
        return recipe.mix(background, level, sounds)

    kept = []
    monkeypatch.setattr(synthetic_source, "mix", without)
    recording = moments.SyntheticSource().make(7, "train", 0)
    assert np.array_equal(recording.samples, synthetic[0].samples)
    with_events, behind = kept[0]
    added = with_events - behind
    inside = np.zeros(len(added), dtype=bool)
    for query in recording.queries:
        for start, end in query.windows:
            window = slice(round(start * SAMPLE_RATE), round(end * SAMPLE_RATE))
            inside[window] = True
            ratio = decibels(added[window]) - decibels(behind[window])
            assert ratio == pytest.approx(query.fg_db, abs=0.1)
    edge = round(0.006 * SAMPLE_RATE)  # windows are rounded to the hundredth of a second
    near = np.convolve(inside, np.ones(2 * edge + 1), "same") > 0
    assert not added[~near].any()


def test_no_event_is_also_the_background_of_its_recording():
    rng = np.random.default_rng(1)
    for _ in range(50):
        kinds = [EVENT_KINDS[name] for name in rng.permutation(sorted(EVENT_KINDS)).tolist()]
        behind = synthetic_source._take_backgrounds(rng, kinds)
        events, times = synthetic_source._draw_events(rng, kinds, 120)
        names = [event.kind.name for event in events]
        assert 1 <= len(behind) <= 2
        assert all(kind.sustained and kind.name not in names for kind in behind)
        assert len(set(names)) == len(names) >= 2
        assert all(1 <= count <= synthetic_source.MOST_RECURRENCES for count in times)


def test_every_split_has_recordings_of_its_own(synthetic):
    heads = {recording.samples[:1000].tobytes() for recording in synthetic}
    assert len(heads) == len(synthetic)


def test_a_set_has_the_layout_of_clotho_moment(quick):
    qids = []
    for split, count in zip(SPLITS, RECORDINGS, strict=True):
        table = rows(quick, split)
        assert [row["vid"] for row in table] == [f"{split}_{i:05}" for i in range(count)]
        assert table[0] == {
            "qid": f"{split}_00000_1",
            "query": f"“{split}” 0",
            "duration": 1,
            "vid": f"{split}_00000",
            "relevant_windows": [[0.1, 0.25]],
            "fg_dB": -1.5,
        }
        qids += [row["qid"] for row in table]
        for row in table:
            info = soundfile.info(quick / "audio" / split / f"{row['vid']}.flac")
            assert (info.samplerate, info.frames) == (SAMPLE_RATE, SAMPLE_RATE)
    assert len(set(qids)) == len(qids)


def test_a_complete_set_is_left_alone(quick):
    before = {path: path.stat().st_mtime_ns for path in quick.rglob("*")}
    report = moments.write_moment_set(quick, Quick(), recordings=RECORDINGS, seed=5)
    assert report.up_to_date
    assert before == {path: path.stat().st_mtime_ns for path in quick.rglob("*")}


def test_an_interrupted_set_is_resumed_to_the_same_bytes_by_any_number_of_processes(
    quick, tmp_path
):
    folder = tmp_path / "set"
    bar = Mock(update=Mock(side_effect=[None, KeyboardInterrupt]))
    with pytest.raises(KeyboardInterrupt):
        moments.write_moment_set(
            folder, Quick(), recordings=RECORDINGS, seed=5, progress=lambda _: nullcontext(bar)
        )
    assert not list(folder.glob("*.jsonl"))
    (folder / "audio/train/.0123456789abcdef.tmp").write_bytes(b"fLaC")
    report = moments.write_moment_set(folder, Quick(), recordings=RECORDINGS, seed=5, jobs=2)
    assert (report.written, report.kept) == (3, 2)
    assert contents(folder) == contents(quick)


@pytest.mark.parametrize(
    "lost", ["audio/train/train_00001.flac", "clotho_moment_test_release.jsonl"]
)
def test_a_missing_file_is_made_again(quick, copied, lost):
    (copied / lost).unlink()
    report = moments.write_moment_set(copied, Quick(), recordings=RECORDINGS, seed=5)
    assert not report.up_to_date
    assert contents(copied) == contents(quick)


def test_other_parameters_replace_the_set_and_nothing_else(copied, tmp_path):
    (copied / "audio/train/mine.flac").write_bytes(b"my own")
    moments.write_moment_set(copied, Quick(), recordings=(1,), seed=6)
    moments.write_moment_set(tmp_path / "new", Quick(), recordings=(1, 1, 1), seed=6)
    assert contents(copied) == {
        **contents(tmp_path / "new"), "audio/train/mine.flac": b"my own"
    }  # fmt: skip


def test_a_folder_that_holds_something_else_is_refused_and_untouched(tmp_path):
    (tmp_path / "mine.txt").write_bytes(b"my own")
    with pytest.raises(InputError, match=r"not empty \(mine.txt\).*choose an empty folder"):
        moments.write_moment_set(tmp_path, Quick(), recordings=(1, 1, 1), seed=5)
    assert contents(tmp_path) == {"mine.txt": b"my own"}


def test_a_file_in_the_way_is_refused(copied):
    path = copied / "audio/val/val_00000.flac"
    path.write_bytes(b"my own")
    with pytest.raises(InputError, match="is not part of the set"):
        moments.write_moment_set(copied, Quick(), recordings=RECORDINGS, seed=5)
    assert path.read_bytes() == b"my own"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"recordings": (0, 1, 1)}, r"3 numbers from 1 to 100000 \(train, val, test\), got \(0, 1"),
        ({"recordings": (1, 1)}, r"got \(1, 1\)"),
        ({"seed": -1}, "seed must not be negative, got -1"),
        ({"jobs": 0}, "jobs must be at least 1, got 0"),
    ],
)
def test_arguments_out_of_range_are_refused(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        moments.write_moment_set(
            tmp_path / "new", Quick(), **{"recordings": RECORDINGS, "seed": 5, **options}
        )
    assert not (tmp_path / "new").exists()


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    """Three clips of 5 s in each of two splits, with a second of silence at both ends."""
    folder = tmp_path_factory.mktemp("clips")
    for place, split in enumerate(("validation", "evaluation")):
        (folder / split).mkdir()
        table = {f"{i}.wav": [f"{split} {i} {n}" for n in range(5)] for i in range(4)}
        write_captions(folder, split, table)
        for i in range(3):  # the fourth is missing
            sound = tone(3, 44_100, 500 * (1 + i + 3 * place))
            quiet = np.zeros(44_100, np.float32)
            soundfile.write(
                folder / split / f"{i}.wav", np.concatenate([quiet, sound, quiet]), 44_100
            )
    return folder


@pytest.fixture(scope="module")
def backgrounds(tmp_path_factory) -> Path:
    """Noise of 130 s, stereo, and of 7 s, in forms of their own, and a text."""
    folder = tmp_path_factory.mktemp("backgrounds")
    (folder / "sub").mkdir()
    long = noise(1, 130, 8_000)
    soundfile.write(folder / "long.flac", np.column_stack([long, long[::-1]]), 8_000)
    soundfile.write(folder / "sub/short.ogg", noise(2, 7, 16_000), 16_000)
    (folder / "read me.txt").write_text("no sound")
    return folder


def test_clips_are_mixed_into_backgrounds_by_the_published_recipe(clips, backgrounds):
    source = moments.ClipSource.open(clips, backgrounds)
    assert source.splits == ("val", "test")
    assert source.missing == 2
    long, short = source.backgrounds["val"], source.backgrounds["test"]
    assert [piece.start for piece in long] == [0, 60 * 8_000]
    assert [piece.path.name for piece in short] == ["short.ogg"]
    heard = 0
    for split, clotho_split in (("val", "validation"), ("test", "evaluation")):
        for index in range(4):
            recording = source.make(1, split, index)
            assert len(recording.samples) == 60 * SAMPLE_RATE
            end = 0.0
            for query in recording.queries:
                ((start, stop),) = query.windows
                assert end <= start < stop <= 60
                assert stop - start == pytest.approx(3, abs=0.02)
                assert query.text.startswith(clotho_split)
                assert -5 <= query.fg_db <= 5
                end = stop
                number = int(query.text.split()[1]) + 3 * (split == "test")
                window = recording.samples[int(start * SAMPLE_RATE) :][: 3 * SAMPLE_RATE]
                spectrum = np.abs(np.fft.rfft(window))
                assert np.argmax(spectrum) / 3 == pytest.approx(500 * (1 + number), abs=1)
                heard += 1
    assert heard >= 5


def test_gaps_are_exponential_with_a_mean_of_30_seconds(clips, backgrounds, monkeypatch):
    source = moments.ClipSource.open(clips, backgrounds)
    quiet = np.ones(60 * SAMPLE_RATE, np.float32)
    monkeypatch.setattr(clip_source, "_read_background", lambda piece: quiet)
    monkeypatch.setattr(clip_source, "_read_clip", lambda path: quiet[:1])
    monkeypatch.setattr(clip_source, "mix", lambda background, level, sounds: background)
    many = replace(source, clips={"val": source.clips["val"] * 20})
    found = [many.make(3, "val", index).queries for index in range(300)]
    assert np.mean([len(queries) for queries in found]) == pytest.approx(2, abs=0.3)
    empty = np.mean([not queries for queries in found])
    assert empty == pytest.approx(np.exp(-2), abs=0.06)


def test_all_backgrounds_are_used_before_any_again():
    first = [clip_source._dealt(1, index, 5) for index in range(5)]
    again = [clip_source._dealt(1, index, 5) for index in range(5, 10)]
    assert sorted(first) == sorted(again) == [0, 1, 2, 3, 4]


def test_splits_share_a_background_only_if_there_are_too_few(clips, backgrounds, tmp_path):
    shutil.copy(backgrounds / "sub/short.ogg", tmp_path)
    source = moments.ClipSource.open(clips, tmp_path)
    assert source.backgrounds["val"] == source.backgrounds["test"]


def test_the_version_follows_captions_and_sounds(clips, backgrounds, tmp_path):
    version = moments.ClipSource.open(clips, backgrounds).version
    assert moments.ClipSource.open(clips, backgrounds).version == version
    other = Path(shutil.copytree(clips, tmp_path / "clips"))
    path = other / "clotho_captions_evaluation.csv"
    path.write_text(path.read_text().replace("evaluation 1 3", "evaluation one three"))
    assert moments.ClipSource.open(other, backgrounds).version != version
    other = Path(shutil.copytree(backgrounds, tmp_path / "backgrounds"))
    soundfile.write(other / "sub/short.ogg", noise(3, 7, 16_000), 16_000)
    assert moments.ClipSource.open(clips, other).version != version


def test_clips_or_backgrounds_that_cannot_be_used_are_refused(clips, backgrounds, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="has no captions: it needs clotho_captions_evaluation"):
        moments.ClipSource.open(empty, backgrounds)
    with pytest.raises(InputError, match="has no sounds: --backgrounds needs"):
        moments.ClipSource.open(clips, empty)
    with pytest.raises(InputError, match=r"no folder .*gone"):
        moments.ClipSource.open(clips, tmp_path / "gone")
    write_captions(empty, "development", {"a.wav": ["a"]})
    with pytest.raises(InputError, match="captions, and no wav that they name"):
        moments.ClipSource.open(empty, backgrounds)
    soundfile.write(empty / "silent.wav", np.zeros(8_000), 8_000)
    source = moments.ClipSource.open(clips, empty)
    with pytest.raises(InputError, match=r"silent.wav is silent"):
        source.make(1, "val", 0)


def test_the_script_makes_a_set_of_clips(clips, backgrounds, tmp_path, capsys):
    script = load_script("00_make_demo_data").main
    arguments = [
        "--moments", "--clips", str(clips), "--backgrounds", str(backgrounds),
        "--output", str(tmp_path / "set"), "--recordings", "2", "--jobs", "1",
    ]  # fmt: skip
    script(arguments)
    assert "2 clips without a wav: not used" in capsys.readouterr().out
    for split in ("val", "test"):
        assert len(list((tmp_path / f"set/audio/{split}").glob("*.flac"))) == 2
        assert {row["duration"] for row in rows(tmp_path / "set", split)} <= {60}
    script(arguments)
    assert "nothing to do" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--recordings", "3"], "need --moments"),
        (["--clips", "a", "b", "c"], "three whole numbers, got a b c"),
        (["--moments", "--clips", "a"], "together, or neither"),
        (["--moments", "--backgrounds", "a"], "together, or neither"),
        (["--moments", "--clips", "1", "2", "3", "--backgrounds", "a"], "one folder"),
    ],
)
def test_options_that_do_not_go_together_are_refused(arguments, message, tmp_path):
    with pytest.raises(InputError, match=message):
        load_script("00_make_demo_data").main([*arguments, "--output", str(tmp_path / "set")])
    assert not (tmp_path / "set").exists()
