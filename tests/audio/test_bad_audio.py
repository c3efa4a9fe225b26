"""Unusual and unusable sound files, through the whole pipeline."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.support import FILES, load_script, options, run_python, settings_for
from utils.datasets.splits import SPLITS, load_captions
from utils.features.vector_file import read_vectors
from utils.files.tables import read_csv
from utils.runtime.errors import InputError


def noise(seconds, rate, channels=1):
    return 0.1 * np.random.default_rng(0).standard_normal((round(seconds * rate), channels))


# How to make an unusual file that can be used.
ODD = {
    "8 kHz": lambda path: soundfile.write(path, noise(2, 8_000), 8_000),
    "192 kHz, 8 channels": lambda path: soundfile.write(path, noise(1, 192_000, 8), 192_000),
    "10 ms": lambda path: soundfile.write(path, noise(0.01, 44_100), 44_100),
    "silence": lambda path: soundfile.write(path, np.zeros(44_100), 44_100),
    "clipped": lambda path: soundfile.write(path, 90 * noise(1, 44_100), 44_100, subtype="FLOAT"),
    "flac": lambda path: soundfile.write(path, noise(1, 44_100), 44_100, format="FLAC"),
    "ogg": lambda path: soundfile.write(path, noise(1, 44_100), 44_100, format="OGG"),
    "mp3": lambda path: soundfile.write(path, noise(1, 44_100), 44_100, format="MP3"),
}


def truncated(path):
    soundfile.write(path, noise(1, 44_100), 44_100)
    path.write_bytes(path.read_bytes()[:30_000])


def link_outside(path):
    target = path.parents[2] / "elsewhere.wav"
    soundfile.write(target, noise(1, 44_100), 44_100)
    path.symlink_to(target)


def nan_late(path):
    samples = noise(15, 32_000)
    samples[-1] = np.nan
    soundfile.write(path, samples, 32_000, subtype="FLOAT")


def truncated_flac(path):
    soundfile.write(path, noise(3, 44_100), 44_100, format="FLAC")
    path.write_bytes(path.read_bytes()[:100_000])


# How to make a file that cannot be used, and the reason that the first script gives.
BAD = {
    "empty": (lambda path: path.write_bytes(b""), "cannot be read as sound"),
    "no sound": (lambda path: path.write_text("no sound\n" * 99), "cannot be read as sound"),
    "truncated": (truncated, "is truncated after"),
    "no samples": (lambda path: soundfile.write(path, np.zeros(0), 8000), "holds no samples"),
    "impossible rate": (lambda path: soundfile.write(path, np.ones(9), 2), "(2 Hz; from 1000 to"),
    "folder": (lambda path: path.mkdir(), "is a folder"),
    "pipe": (lambda path: os.mkfifo(path), "is not a regular file"),
    "broken link": (lambda path: path.symlink_to("nowhere"), "is a broken symlink (to nowhere)"),
    "link out": (link_outside, "is a symlink that leaves"),
}
# Found only by decoding the whole file.
BAD_INSIDE = {
    "NaN": (nan_late, "holds NaN or infinite samples"),
    "truncated flac": (truncated_flac, "is truncated or damaged after"),
}


@pytest.fixture(scope="module")
def unlucky(small_demo, tmp_path_factory):
    """A data set in which some clips have been replaced: kind of file by ``split/file name``."""
    folder = tmp_path_factory.mktemp("unlucky")
    shutil.copytree(small_demo / "clotho", folder / "clotho")
    wavs = sorted((folder / "clotho").glob("*/*.wav"))
    kinds = {}
    makers = {**ODD, **{kind: make for kind, (make, _) in {**BAD, **BAD_INSIDE}.items()}}
    # Every second clip, through all splits.
    for path, (kind, make) in zip(wavs[::2], makers.items(), strict=False):
        path.unlink()
        make(path)
        kinds[f"{path.parent.name}/{path.name}"] = kind
    assert len(kinds) == len(makers)
    return folder, kinds


def reasons(folder, step, *, file="failed_files.csv"):
    rows = read_csv(folder / "processed" / file)
    return {cells[1]: cells[2] for _, cells in rows if cells[0] == step}


def test_each_is_processed_or_reported_and_the_rest_is_processed(unlucky, small_demo, capsys):
    folder, kinds = unlucky
    settings = settings_for(folder)

    def run(name, *arguments):
        return load_script(name).main([*options(settings), *arguments])

    with pytest.raises(InputError, match="Replace it, or leave it out"):
        run("01_preprocess", "--strict")
    assert not (folder / "processed").exists()

    assert run("01_preprocess") == 3
    reported = reasons(folder, "01_preprocess")
    assert {kinds[name] for name in reported} == set(BAD)
    for name, reason in reported.items():
        assert BAD[kinds[name]][1] in reason, kinds[name]
    printed = capsys.readouterr().out
    assert f"; {len(BAD)} cannot be used" in printed
    assert all(name in printed for name in reported)

    assert run("03_audio_features") == 3
    inside = reasons(folder, "03_audio_features passt")
    assert {kinds[name] for name in inside} == set(BAD_INSIDE)
    for name, reason in inside.items():
        assert BAD_INSIDE[kinds[name]][1] in reason, kinds[name]
    assert reasons(folder, "01_preprocess") == reported
    logits = read_vectors(folder / "processed/audio_logits_passt.hdf5")
    everything = {f"{p.parent.name}/{p.name}" for p in (folder / "clotho").glob("*/*.wav")}
    assert set(logits.ids) == everything - reported.keys() - inside.keys()
    assert {kinds[name] for name in logits.ids if name in kinds} == set(ODD)
    assert np.isfinite(logits.vectors).all()

    capsys.readouterr()
    assert run("03_audio_features") == 3
    assert "tagged 0 clips" in (again := capsys.readouterr().out)
    assert all(name in again for name in inside)
    noted = reasons(folder, "03_audio_features passt", file="noted_files.csv")
    (silence,) = (name for name, kind in kinds.items() if kind == "silence")
    kept = dict(zip(logits.ids, map(logits.notes.get, logits.keys), strict=True))
    assert noted[silence] == kept[silence] == "is digital silence"
    assert f"{silence} is digital silence" in again

    for kind in ("logmel", "waveform"):
        assert run("03_audio_features", "--kind", kind) == 3
        assert reasons(folder, f"03_audio_features {kind}").keys() == inside.keys()

    for key in ("caption_embeddings", "tag_embeddings"):  # whose texts are the same
        shutil.copy(small_demo / "processed" / FILES[key], folder / "processed")
    for name in ("04_sentence_embeddings", "06_audioset_tag_embeddings", "main"):
        assert not run(name)
    printed = capsys.readouterr().out
    for split in {name.partition("/")[0] for name in inside}:
        count = sum(name.startswith(split) for name in inside)
        assert f"leaves out {count} of " in printed
    (run,) = (folder / "outputs/demo").iterdir()
    metrics = json.loads((run / "metrics.json").read_text())
    tested = set(load_captions(folder / "processed", "evaluation").audio_ids)
    assert metrics["clips"] == len(tested - inside.keys()) < 10
    capsys.readouterr()
    load_script("main").main(["score", str(run / "test.output.csv"), *options(settings)])
    printed = capsys.readouterr().out
    assert f"leaves out {len(tested & inside.keys())} of {len(tested)} clips of eval" in printed
    (line,) = (line.split() for line in printed.splitlines() if line.startswith("scores "))
    assert line[1:] == [f"{value:.3f}" for value in metrics["scores"].values()]


def test_a_file_that_was_fixed_is_processed(unlucky, capsys):
    folder, kinds = unlucky
    settings = settings_for(folder)
    (name,) = (name for name, kind in kinds.items() if kind == "NaN")
    soundfile.write(folder / "clotho" / name, noise(1, 44_100), 44_100)
    script = load_script("03_audio_features").main
    assert script(options(settings)) == 3
    assert "tagged 1 clips" in capsys.readouterr().out
    assert name not in reasons(folder, "03_audio_features passt")


def test_strict_stops_at_the_first_and_keeps_what_is_done(own_demo):
    nan_late(sorted((own_demo / "clotho/development").iterdir())[3])
    logits = own_demo / "processed/audio_logits_passt.hdf5"
    before = logits.read_bytes()
    with pytest.raises(InputError, match="holds NaN or infinite samples"):
        load_script("03_audio_features").main([*options(settings_for(own_demo)), "--strict"])
    assert logits.read_bytes() == before
    assert not (own_demo / "processed/failed_files.csv").exists()


KINDS = ("passt", "logmel", "waveform")
# Extracts one kind after the other; one process does it, because its imports take seconds.
MEASURE = """
import json, pathlib, sys
from tests.support import load_script
own, peaks = pathlib.Path("/proc/self"), {}
kinds, *settings = sys.argv[1:]
for kind in kinds.split(","):
    (own / "clear_refs").write_text("5")  # the peak starts again
    assert not load_script("03_audio_features").main([*settings, "--kind", kind])
    memory = (own / "status").read_text()  # getrusage counts the parent's, too
    peaks[kind] = int(memory.split("VmHWM:")[1].split()[0]) // 1024
print(json.dumps(peaks))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux' /proc")
def test_half_an_hour_takes_no_more_memory_than_a_minute(small_demo, tmp_path):
    peaks = {}
    part = noise(60, 44_100, 2)
    for minutes in (1, 30):
        folder = tmp_path / str(minutes)
        for split in SPLITS:
            (folder / "clotho" / split).mkdir(parents=True)
            shutil.copy(small_demo / f"clotho/clotho_captions_{split}.csv", folder / "clotho")
        wav = min((small_demo / "clotho/development").iterdir()).name
        with soundfile.SoundFile(folder / "clotho/development" / wav, "w", 44_100, 2) as file:
            for _ in range(minutes):
                file.write(part)
        settings = options(settings_for(folder))
        load_script("01_preprocess").main([*settings, "--allow-missing"])
        printed = run_python(MEASURE, ",".join(KINDS), *settings).stdout
        peaks[minutes] = json.loads(printed.splitlines()[-1])
    for kind in KINDS:
        # Half an hour of mono samples at 32 kHz alone would be 230 MB.
        assert peaks[30][kind] < peaks[1][kind] + 75, peaks
