"""Sounds of every form, played by the page in a real browser: all of them, from the right place."""

from functools import partial

import numpy as np
import pytest

from tests.audio import forms
from tests.audio.forms import FORMS, by_ffmpeg, by_soundfile
from tests.browser import DESKTOP, Page, chromium
from tests.search.web.test_page import serving
from utils.audio.sound_file import open_sound

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("forms")]  # one browser plays all

NEAR = 0.05  # seconds
MADE = {name: form.make for name, form in FORMS.items()} | {
    "2000 Hz.wav": partial(by_soundfile, "WAV", rate=2_000),
    "3000 Hz.wav": partial(by_soundfile, "WAV", rate=3_000),
    "384 kHz.wav": partial(by_soundfile, "WAV", rate=384_000),
    "500 kHz.wav": partial(by_soundfile, "WAV", rate=500_000),
    "22 kHz.mp3": partial(by_ffmpeg, "mp3", "libmp3lame", rate=22_050),
    "fragmented.m4a": partial(by_ffmpeg, "mp4", "aac", options={"movflags": "+frag_keyframe"}),
}
AS_IT_IS = {
    "8.wav", "16.wav", "3000 Hz.wav", "384 kHz.wav", "flac.flac", "24.flac", "tagged.flac",
    "opus.opus", "info.mp3", "no index.mp3", "cover.mp3",
}  # fmt: skip
# In a mixture of channels no tone is the loudest, and one-bit noise has none.
UNCLEAR = {name for name, form in FORMS.items() if form.channels > 2} | {"dsf.dsf"}

# Plays a row of the results from several places, and compares what is heard at a time (its left
# channel rises from 200 Hz by 200 Hz per second) with the player's clock.
LISTEN = """(() => {
    const context = new AudioContext();
    const [splitter, analyser] = [context.createChannelSplitter(2), context.createAnalyser()];
    Object.assign(analyser, { fftSize: 4096, smoothingTimeConstant: 0 });
    context.createMediaElementSource(player).connect(splitter);
    splitter.connect(analyser, 0);
    analyser.connect(context.destination);
    const levels = new Float32Array(analyser.frequencyBinCount);
    window.heard = () => {
        analyser.getFloatFrequencyData(levels);
        const at = levels.indexOf(Math.max(...levels));
        const [a, b, c] = levels.slice(at - 1, at + 2);
        return (at + (a - c) / (2 * (a - 2 * b + c))) * context.sampleRate / analyser.fftSize;
    };
})()"""
MEASURE = """
const [row, times, done] = arguments;
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const until = async (condition) => {
    for (let i = 0; i < 800 && !condition(); i += 1) await pause(25);
};
(async () => {
    const slider = row.querySelector('[type=range]'), offsets = [];
    row.querySelector('.play').click();
    await until(() => player.duration > 0 && player.currentTime > 0.02 && !player.seeking);
    for (const time of times) {
        if (player.duration < time + 0.6) continue;
        slider.value = time;
        slider.dispatchEvent(new Event('input'));
        await until(() => !player.paused && !player.seeking && player.currentTime > time + 0.25);
        const some = [];
        for (let i = 0; i < 5; i += 1) {
            some.push((heard() - 200) / 200 - player.currentTime);
            await pause(20);
        }
        offsets.push(some.sort((a, b) => a - b)[2]);
    }
    const { duration, currentSrc } = player;
    const tag = (await fetch(currentSrc, { method: 'HEAD' })).headers.get('etag');
    done({
        duration, offsets, ours: row.track.duration, decoded: tag.includes('decoded'),
        asked: currentSrc.includes('decode=true'),
    });
})();
"""
PLACES = [2.4, 0.3]  # seconds


@pytest.fixture(scope="module")
def heard(trained, tmp_path_factory):
    """What the browser plays of each form."""
    folder = tmp_path_factory.mktemp("forms") / "sounds"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forms, "FRAMES", 4 * forms.RATE)
        for name, make in MADE.items():
            (folder / name).write_bytes(make())
    with (
        serving(folder, trained) as (address, _),
        chromium(tmp_path_factory.mktemp("profile"), DESKTOP) as driver,
    ):
        page = Page(driver, address)
        names = page.results(f"q=anything&duplicates=show&top={len(MADE)}")
        page.one(".hit .line").click()  # so that sounds may be played
        driver.set_script_timeout(60)
        page.run(LISTEN)
        rows = zip(names, page.all(".hit"), strict=True)
        found = {name: driver.execute_async_script(MEASURE, row, PLACES) for name, row in rows}
    for name, one in found.items():
        one["shift"] = shift(folder / name)
    return found


def shift(path, at=2.0):
    """How much later than in the sound that was encoded the program itself hears a place."""
    with open_sound(path) as sound:
        sound.seek(round((at - 0.05) * sound.samplerate))
        samples = sound.read(sound.samplerate // 10)[:, 0]
    if not len(samples):
        return None
    count = 2**20
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), count))
    frequency = spectrum.argmax() * sound.samplerate / count
    return (frequency - 200) / 200 - at


@pytest.mark.parametrize("name", MADE)
def test_browser_clock_duration_and_sound_agree(name, heard):
    found, exact = heard[name], np.median(heard["16.wav"]["offsets"])  # of the measurement
    assert not found["asked"]  # the browser plays what it gets first
    assert found["duration"] == pytest.approx(found["ours"], abs=NEAR)
    if name not in UNCLEAR:
        expected = len(found["offsets"]) * [exact + (found["shift"] or 0)]
        assert found["offsets"] == pytest.approx(expected, abs=NEAR)


def test_only_what_browsers_play_exactly_is_sent_as_it_is(heard):
    assert {name for name, found in heard.items() if not found["decoded"]} == AS_IT_IS
