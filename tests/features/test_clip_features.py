import h5py
import librosa
import numpy as np
import pytest
import soundfile

from tests.support import load_script, options, settings_for
from utils.audio import log_mel, sound_file
from utils.audio.sound_file import UnusableSound, fingerprint
from utils.features import clip_features
from utils.features.clip_features import Clip, write_clip_features
from utils.runtime.errors import InputError


def sound(path, *, rate=44100, seconds=0.5, channels=1, seed=0):
    path.parent.mkdir(exist_ok=True)
    shape = (round(rate * seconds), channels)
    soundfile.write(path, 0.1 * np.random.default_rng(seed).standard_normal(shape), rate)
    return path


def clip(fid, path):
    return Clip(fid, f"test/{path.name}", path, fingerprint(path))


@pytest.fixture
def clips(tmp_path):
    return [
        clip(7 + i, sound(tmp_path / f"wavs/{i}.wav", rate=rate, seed=i))
        for i, rate in enumerate((8000, 44100, 48000))
    ]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "out.hdf5"


def content(path):
    with h5py.File(path, "r") as file:
        return {name: dataset[...] for name, dataset in file.items()}


@pytest.mark.parametrize(
    ("rate", "window", "hop", "fft"),
    [(8000, 320, 160, 512), (32000, 1280, 640, 2048), (44100, 1764, 882, 2048)],
)
def test_the_spectrogram_is_librosas_with_the_originals_numbers(rate, window, hop, fft):
    samples = np.random.default_rng(1).standard_normal(rate).astype(np.float32)
    mel = librosa.feature.melspectrogram(
        y=samples,
        sr=rate,
        n_fft=fft,
        win_length=window,
        hop_length=hop,
        n_mels=64,
        fmin=12,
        fmax=min(8000, rate / 2),
    )
    (found,) = log_mel.log_mel([samples], sample_rate=rate)
    assert (found.shape, found.dtype) == ((rate // hop + 1, 64), np.float32)
    np.testing.assert_allclose(found, np.log(mel + np.spacing(1)).T, rtol=1e-6)
    (silence,) = log_mel.log_mel([np.zeros(rate, np.float32)], sample_rate=rate)
    np.testing.assert_allclose(silence, np.log(2.0**-52), rtol=1e-6)


@pytest.mark.parametrize("kind", ["logmel", "waveform"])
def test_a_file_is_keyed_by_fid_as_the_originals_and_says_how_it_was_made(clips, path, kind):
    assert write_clip_features(path, clips, kind=kind).computed == 3
    with h5py.File(path, "r") as file:
        assert sorted(file, key=int) == ["7", "8", "9"]
        assert file.attrs["kind"] == kind
        assert file["8"].attrs["id"] == "test/1.wav"
        assert file["8"].dtype == np.float32
        if kind == "waveform":
            assert file["8"].shape == (16000,)  # half a second at 32 kHz
        else:
            assert [file[fid].shape for fid in "789"] == [(26, 64)] * 3
            assert file["9"].attrs["sample_rate"] == 48000


def test_channels_are_mixed(tmp_path):
    stereo = sound(tmp_path / "wavs/s.wav", rate=32000, channels=2)
    write_clip_features(tmp_path / "w.hdf5", [clip(1, stereo)], kind="waveform")
    samples = soundfile.read(stereo, dtype="float32")[0]
    np.testing.assert_allclose(content(tmp_path / "w.hdf5")["1"], samples.mean(axis=1), atol=1e-7)


def test_an_up_to_date_file_is_not_touched_and_another_is_written_again(clips, path):
    write_clip_features(path, clips, kind="logmel")
    before, old = path.stat().st_mtime_ns, content(path)
    advanced = []
    update = write_clip_features(path, clips, kind="logmel", advance=advanced.append)
    assert (update.computed, update.written, advanced) == (0, False, [3])
    assert path.stat().st_mtime_ns == before
    sound(clips[1].path, seed=99)
    changed = [clips[0], clip(8, clips[1].path), clips[2]]
    assert write_clip_features(path, changed, kind="logmel").computed == 3
    new = content(path)
    assert np.array_equal(old["7"], new["7"])
    assert not np.array_equal(old["8"], new["8"])
    assert write_clip_features(path, clips[:1], kind="logmel").written
    assert list(content(path)) == ["7"]


def test_an_interrupted_run_leaves_nothing_behind(clips, path):
    def stop(count):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_clip_features(path, clips, kind="waveform", advance=stop)
    assert [entry.name for entry in path.parent.iterdir()] == ["wavs"]


def test_a_file_of_something_else_is_not_overwritten(clips, path):
    with h5py.File(path, "w") as file:
        file["7"] = [1.0]
    with pytest.raises(InputError, match=r"its kind is None.* would be overwritten"):
        write_clip_features(path, clips, kind="logmel")
    path.unlink()
    write_clip_features(path, clips, kind="waveform")
    with pytest.raises(InputError, match="its kind is 'waveform'"):
        write_clip_features(path, clips, kind="logmel")
    path.write_bytes(b"no HDF5")
    with pytest.raises(InputError, match="is not a logmel file"):
        write_clip_features(path, clips, kind="logmel")


def test_a_clip_that_cannot_be_used_is_left_out(clips, path):
    clips[1].path.write_bytes(b"RIFF")
    soundfile.write(clips[2].path, np.zeros(800), 1000)
    update = write_clip_features(path, clips, kind="logmel")
    assert (update.computed, update.failed.keys()) == (1, {"test/1.wav", "test/2.wav"})
    assert update.failed["test/2.wav"].startswith("has a sample rate of 1000 Hz")
    assert list(content(path)) == ["7"]
    with pytest.raises(UnusableSound, match=r"1\.wav cannot be read as sound"):
        write_clip_features(path, clips, kind="logmel", strict=True)
    path.unlink()
    with pytest.raises(InputError, match=r"none of the clips for .* can be used:\n  - test/1"):
        write_clip_features(path, clips[1:], kind="logmel")
    assert not path.exists()


def test_a_clip_that_fails_late_leaves_the_others_whole(clips, path, monkeypatch):
    write_clip_features(path, clips, kind="waveform")
    expected = content(path)
    monkeypatch.setattr(sound_file, "_BLOCK_NUMBERS", 1000)
    soundfile.write(clips[1].path, np.append(np.zeros(5000), np.nan), 32000, subtype="FLOAT")
    write_clip_features(path, [clips[0], clip(8, clips[1].path), clips[2]], kind="waveform")
    found = content(path)
    assert found.keys() == {"7", "9"}
    np.testing.assert_array_equal(found["9"], expected["9"])


@pytest.mark.parametrize("kind", ["logmel", "waveform"])
def test_a_clip_of_minutes_is_stored_piece_by_piece_as_if_whole(tmp_path, kind, monkeypatch):
    long = clip(1, sound(tmp_path / "wavs/long.wav", rate=8000, seconds=7.01))
    write_clip_features(tmp_path / "whole.hdf5", [long], kind=kind)
    monkeypatch.setattr(log_mel, "SECONDS_AT_ONCE", 2)
    monkeypatch.setattr(sound_file, "_BLOCK_NUMBERS", 1000)
    monkeypatch.setattr(clip_features, "_ROWS_AT_ONCE", 300)
    write_clip_features(tmp_path / "parts.hdf5", [long], kind=kind)
    whole, parts = (content(tmp_path / f"{name}.hdf5")["1"] for name in ("whole", "parts"))
    assert whole.shape == ((351, 64) if kind == "logmel" else (224320,))
    np.testing.assert_allclose(parts, whole, rtol=1e-6)


def test_the_script_writes_them(small_demo, tmp_path, capsys):
    script = load_script("03_audio_features")
    settings = options(settings_for(small_demo))
    script.main([*settings, "--kind", "logmel"])
    assert "computed 50 clips (logmel); 0 were up to date" in capsys.readouterr().out
    script.main([*settings, "--kind", "logmel"])
    assert "computed 0 clips (logmel); 50 were up to date" in capsys.readouterr().out
    path = small_demo / "processed/audio_logmel.hdf5"
    assert sorted(map(int, content(path))) == list(range(1, 51))
    path.unlink()
