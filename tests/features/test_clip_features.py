import h5py
import librosa
import numpy as np
import pytest
import soundfile

from tests.support import load_script, options, settings_for
from utils.audio.log_mel import log_mel
from utils.audio.sound_file import UnusableSound, fingerprint
from utils.features import clip_features
from utils.features.clip_features import Clip, write_clip_features
from utils.files.locks import FolderLock
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
    rates = (8000, 44100, 48000)
    return [
        clip(7 + i, sound(tmp_path / f"wavs/{i}.wav", rate=rate, seed=i))
        for i, rate in enumerate(rates)
    ]


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
    (found,) = log_mel([samples], sample_rate=rate)
    assert (found.shape, found.dtype) == ((rate // hop + 1, 64), np.float32)
    np.testing.assert_allclose(found, np.log(mel + np.spacing(1)).T, rtol=1e-6)


def test_silence_is_the_logarithm_of_the_offset():
    (found,) = log_mel([np.zeros(8000, np.float32)], sample_rate=8000)
    np.testing.assert_allclose(found, np.log(2.0**-52), rtol=1e-6)


@pytest.mark.parametrize("kind", ["logmel", "waveform"])
def test_files_are_keyed_by_fid_as_the_originals(clips, tmp_path, kind):
    path = tmp_path / "out.hdf5"
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
    assert not (tmp_path / "out.hdf5.partial").exists()


def test_channels_are_mixed(tmp_path):
    stereo = sound(tmp_path / "wavs/s.wav", rate=32000, channels=2)
    write_clip_features(tmp_path / "w.hdf5", [clip(1, stereo)], kind="waveform")
    samples = soundfile.read(stereo, dtype="float32")[0]
    np.testing.assert_allclose(content(tmp_path / "w.hdf5")["1"], samples.mean(axis=1), atol=1e-7)


def test_what_is_up_to_date_is_left_alone_and_what_changed_is_computed(clips, tmp_path):
    path = tmp_path / "out.hdf5"
    write_clip_features(path, clips, kind="logmel")
    before = path.stat().st_mtime_ns
    advanced = []
    update = write_clip_features(path, clips, kind="logmel", advance=advanced.append)
    assert (update.computed, update.written, advanced) == (0, False, [3])
    assert path.stat().st_mtime_ns == before
    old = content(path)
    sound(clips[1].path, seed=99)
    changed = [clips[0], clip(8, clips[1].path), clips[2]]
    assert write_clip_features(path, changed, kind="logmel").computed == 1
    new = content(path)
    assert np.array_equal(old["7"], new["7"])
    assert not np.array_equal(old["8"], new["8"])
    assert write_clip_features(path, clips[:1], kind="logmel").written
    assert list(content(path)) == ["7"]


def test_an_interrupted_run_goes_on_where_it_was(clips, tmp_path):
    path, whole = tmp_path / "out.hdf5", tmp_path / "whole.hdf5"

    seen = []

    def stop_after_two(count):
        seen.append(count)
        if len(seen) == 3:  # the first call tells about the clips that are there
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_clip_features(path, clips, kind="waveform", advance=stop_after_two)
    assert not path.exists()
    found = []
    assert write_clip_features(path, clips, kind="waveform", advance=found.append).computed <= 1
    assert found[0] >= 2
    write_clip_features(whole, clips, kind="waveform")
    for (fid, one), (other_fid, other) in zip(
        content(path).items(), content(whole).items(), strict=True
    ):
        assert fid == other_fid
        np.testing.assert_array_equal(one, other)


def test_what_would_be_lost_or_cannot_be_used_is_refused(clips, tmp_path):
    path = tmp_path / "out.hdf5"
    with h5py.File(path, "w") as file:
        file["7"] = [1.0]
    with pytest.raises(InputError, match="was not written by this program"):
        write_clip_features(path, clips, kind="logmel")
    path.unlink()
    write_clip_features(path, clips, kind="waveform")
    with pytest.raises(InputError, match="holds 'waveform'"):
        write_clip_features(path, clips, kind="logmel")
    path.write_bytes(b"no HDF5")
    with pytest.raises(InputError, match="not an HDF5 file"):
        write_clip_features(path, clips, kind="logmel")


def test_a_clip_that_cannot_be_used_is_left_out(clips, tmp_path):
    path = tmp_path / "out.hdf5"
    write_clip_features(path, clips, kind="logmel")
    clips[1].path.write_bytes(b"RIFF")
    soundfile.write(clips[2].path, np.zeros(800), 1000)
    clips = [clip(each.fid, each.path) for each in clips]
    update = write_clip_features(path, clips, kind="logmel")
    assert (update.computed, update.failed.keys()) == (0, {"test/1.wav", "test/2.wav"})
    assert update.failed["test/2.wav"] == "has 1000 samples per second, and 64 mel bands need 2000"
    assert list(content(path)) == ["7"]
    assert not write_clip_features(path, clips, kind="logmel").written
    with pytest.raises(UnusableSound, match=r"1\.wav cannot be read as sound"):
        write_clip_features(path, clips, kind="logmel", strict=True)
    with pytest.raises(
        InputError, match=r"none of the clips for .*new.hdf5 can be used:\n  - test/1"
    ):
        write_clip_features(tmp_path / "new.hdf5", clips[1:], kind="logmel")
    assert not (tmp_path / "new.hdf5").exists()


@pytest.mark.parametrize("kind", ["logmel", "waveform"])
def test_a_clip_of_minutes_is_stored_piece_by_piece_as_if_whole(tmp_path, kind, monkeypatch):
    long = clip(1, sound(tmp_path / "wavs/long.wav", rate=8000, seconds=7.01))
    write_clip_features(tmp_path / "whole.hdf5", [long], kind=kind)
    monkeypatch.setattr(clip_features, "_SECONDS_AT_ONCE", 2)
    write_clip_features(tmp_path / "parts.hdf5", [long], kind=kind)
    whole, parts = (content(tmp_path / f"{name}.hdf5")["1"] for name in ("whole", "parts"))
    assert whole.shape == ((351, 64) if kind == "logmel" else (224320,))
    np.testing.assert_allclose(parts, whole, rtol=1e-6)


def test_two_runs_at_once(clips, tmp_path):
    with (
        FolderLock(tmp_path / "out.hdf5.partial"),
        pytest.raises(InputError, match=r"another run is writing out\.hdf5"),
    ):
        write_clip_features(tmp_path / "out.hdf5", clips, kind="waveform")


def test_real_recordings(shared_data, tmp_path):
    wavs = sorted((shared_data / "clotho-audio").rglob("*.wav"))[:2]
    clips = [clip(i, wav) for i, wav in enumerate(wavs, 1)]
    write_clip_features(tmp_path / "mel.hdf5", clips, kind="logmel")
    for fid, wav in enumerate(wavs, 1):
        seconds = soundfile.info(wav).duration
        mel = content(tmp_path / "mel.hdf5")[str(fid)]
        assert mel.shape == (int(seconds / 0.02) + 1, 64)
        assert np.isfinite(mel).all()


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
