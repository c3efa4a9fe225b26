import av
import numpy as np
import pytest
import soundfile

from utils.audio.loudness import Loudness
from utils.audio.sound_file import open_sound

RATE = 48_000


def sine(*levels, seconds=2.0, rate=RATE, hertz=997):
    """Channels of a sine, shape (N, C), at so many dBFS each; None is silent."""
    time = np.arange(round(seconds * rate)) / rate
    peaks = np.array([0 if level is None else 10 ** (level / 20) for level in levels])
    return (np.sin(2 * np.pi * hertz * time)[:, None] * peaks).astype(np.float32)


def loudness(samples, rate=RATE, layout=None, block=30_000):
    meter = Loudness(rate, samples.shape[1], layout)
    for start in range(0, len(samples), block):
        meter.add(samples[start : start + block])
    return meter.finish()


@pytest.mark.parametrize("rate", [4_000, 11_025, 44_100, 48_000, 192_000, 384_000])
def test_a_sine_of_997_hz_at_minus_23_dbfs_in_stereo_has_minus_23_lufs(rate):
    assert loudness(sine(-23, -23, rate=rate), rate) == pytest.approx(-23, abs=0.1)
    assert loudness(sine(-23, rate=rate), rate) == pytest.approx(-26, abs=0.1)


def test_quiet_parts_do_not_count():  # EBU Tech 3341, cases 3 and 4
    loud = sine(-23, -23, seconds=60)
    quiet, quietest = (sine(level, level, seconds=10) for level in (-36, -72))
    assert loudness(np.concatenate([quiet, loud, quiet])) == pytest.approx(-23, abs=0.1)
    parts = np.concatenate([quietest, quiet, loud, quiet, quietest])
    assert loudness(parts) == pytest.approx(-23, abs=0.1)


def test_the_sizes_of_blocks_do_not_matter():
    parts = np.concatenate([sine(-23, -30), sine(-43, -10)])
    assert loudness(parts, block=70) == loudness(parts, block=10**6)


def test_channels_at_the_side_count_more_and_lfe_does_not():
    surround = sine(-28, -28, -24, -30, -30)  # EBU Tech 3341, case 6
    assert loudness(surround) == pytest.approx(-23, abs=0.1)
    with_lfe = np.insert(surround, 3, sine(-3)[:, 0], axis=1)
    assert loudness(with_lfe) == pytest.approx(-23, abs=0.1)
    louder = loudness(sine(None, None, -20, None), layout="quad") - loudness(sine(-20))
    assert louder == pytest.approx(1.5, abs=0.1)


def test_channels_without_a_place_count_alike():
    for place in (0, 3, 7):
        levels = [None] * 8
        levels[place] = -20
        assert loudness(sine(*levels)) == loudness(sine(-20))


def test_a_file_says_where_its_channels_belong(tmp_path):
    samples = sine(None, None, -20, -20)
    found = []
    for kind in ("WAV", "WAVEX", "FLAC"):
        soundfile.write(tmp_path / "a", samples, RATE, format=kind, subtype="PCM_24")
        with open_sound(tmp_path / "a") as sound:
            meter = Loudness.of(sound)
            meter.add(sound.read(len(samples)))
            found.append(meter.finish())
    assert found[1] - found[0] == pytest.approx(1.5, abs=0.1)  # quad


@pytest.mark.parametrize(
    "samples",
    [
        sine(-23, seconds=0.39),
        sine(None, None),
        sine(-80),
        sine(-23)[:0],
        np.insert(sine(-23), 9, np.nan, axis=0),
        32_767 * sine(0),
        sine(*65 * [-23.0]),
    ],
    ids=["short", "silence", "quiet", "empty", "nan", "integers", "channels"],
)
def test_what_cannot_be_measured_has_no_loudness(samples):
    assert loudness(samples) is None


@pytest.mark.parametrize(
    ("codec", "name", "layout"),
    [("flac", "a.mka", "5.1"), ("aac", "a.m4a", "5.0"), ("pcm_s16le", "a.caf", "stereo")],
)
def test_compressed_sounds_say_it_too(codec, name, layout, tmp_path):
    channels = av.AudioLayout(layout).nb_channels
    with av.open(str(tmp_path / name), "w") as container:
        stream = container.add_stream(codec, rate=RATE, layout=layout)
        packed = sine(*channels * [-20.0]).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
        frame.sample_rate, frame.pts = RATE, 0
        for given in (frame, None):
            for packet in stream.encode(given):
                container.mux(packet)
    with open_sound(tmp_path / name) as sound:
        assert (sound.layout or "").partition("(")[0] == (layout if codec != "pcm_s16le" else "")
        meter = Loudness.of(sound)
        while len(samples := sound.read(5_000)):
            meter.add(samples)
    expected = loudness(sine(*channels * [-20.0]), layout=layout)
    assert meter.finish() == pytest.approx(expected, abs=0.3)
