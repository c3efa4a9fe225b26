"""Electronic signals: siren, telephone tones, beepers."""

import numpy as np
from scipy import signal

from utils.demo.sound_events import dsp
from utils.demo.sound_events.kind import Clause, EventKind, Generator, Nominal, Sound

# Bell System precise tone plan, ITU-T E.180 supplement 2 (North America)
DIAL_TONE_HZ = (350.0, 440.0)
BUSY_TONE_HZ = (480.0, 620.0)
BUSY_ON_SECONDS = 0.5
# SAE J1849: wail 10-30 and yelp 150-250 cycles a minute, fundamental within 500-2000 Hz
WAIL_SECONDS = (2.2, 5.0)
YELP_SECONDS = (0.24, 0.4)
SIREN_HZ = ((500.0, 750.0), (1200.0, 1700.0))
QUARTZ_HZ = 32768 / 16  # alarm clocks divide their watch crystal down to the beep


def siren(rng: Generator, seconds: float, count: int, rate: int) -> Sound:
    """Electronic siren: wails, with a yelp now and then, squeezed through a horn loudspeaker."""
    n = dsp.length(seconds, rate)
    low, high = (rng.uniform(*limits) for limits in SIREN_HZ)
    cycle = dsp.between(rng, *(YELP_SECONDS if rng.uniform() < 0.25 else WAIL_SECONDS))
    position = (dsp.time_axis(n, rate) / cycle + rng.uniform()) % 1.0
    rise = rng.uniform(0.4, 0.6)
    up, down = position / rise, (1 - position) / (1 - rise)
    pitch = low * (high / low) ** np.minimum(up, down)
    tone = dsp.buzz(pitch, rate, slope=0.9, most=12)
    return dsp.finish(dsp.band_filter(tone, 500, 5000, rate), rate)


def _line(rng: Generator, n: int, rate: int) -> dsp.Signal:
    """Hiss of a telephone line."""
    return 0.004 * dsp.band_noise(rng, n, rate, 300, 3400)


def dial_tone(rng: Generator, seconds: float, count: int, rate: int) -> Sound:
    """Two steady sines."""
    n = dsp.length(seconds, rate)
    t = dsp.time_axis(n, rate)
    gains = rng.uniform(0.8, 1.0, 2)
    tones = sum(g * np.sin(2 * np.pi * f * t) for g, f in zip(gains, DIAL_TONE_HZ, strict=True))
    return dsp.finish(tones + _line(rng, n, rate) * rng.uniform(0.3, 3), rate)


def busy(rng: Generator, seconds: float, count: int, rate: int) -> Sound:
    """Two sines, half a second on and half a second off."""
    n = dsp.length(seconds, rate)
    t = dsp.time_axis(n, rate)
    gains = rng.uniform(0.8, 1.0, 2)
    tones = sum(g * np.sin(2 * np.pi * f * t) for g, f in zip(gains, BUSY_TONE_HZ, strict=True))
    on = (t % (2 * BUSY_ON_SECONDS)) < BUSY_ON_SECONDS
    return dsp.finish(tones * on + _line(rng, n, rate) * rng.uniform(0.3, 3), rate)


def alarm_clock(rng: Generator, seconds: float, count: int, rate: int) -> Sound:
    """Piezo beeper: groups of four short beeps, one group a second."""
    n = dsp.length(seconds, rate)
    t = dsp.time_axis(n, rate)
    group = t % rng.uniform(0.9, 1.1)
    beat = rng.uniform(0.11, 0.14)
    on = (group < 4 * beat) & (group % beat < 0.55 * beat)
    tone = dsp.harmonics(rng.uniform(0.97, 1.03) * QUARTZ_HZ * t, [1, 0.05, 0.35, 0.03, 0.15])
    edge = np.ones(dsp.length(0.002, rate)) / dsp.length(0.002, rate)
    return dsp.finish(tone * signal.oaconvolve(on.astype(float), edge, mode="same"), rate)


def reversing(rng: Generator, seconds: float, count: int, rate: int) -> Sound:
    """Backup alarm: a plain tone of 1-1.5 kHz, on for half of each period."""
    out = dsp.silence(seconds, rate)
    pitch = dsp.between(rng, 1050, 1500)
    period = seconds / count
    m = dsp.length(min(0.5 * period, 0.6), rate)
    beep = dsp.harmonics(pitch * dsp.time_axis(m, rate), [1, 0, 0.3, 0, 0.08])
    for onset in dsp.onset_times(rng, count, seconds, jitter=0.0):
        dsp.place(out, beep * dsp.swell(m, rate, 0.01, 0.01), onset, rate)
    return dsp.finish(out, rate)


KINDS = (
    EventKind(
        siren,
        ("Siren", "Emergency vehicle"),
        (
            Clause("a siren", "wails", "wailing"),
            Clause("an emergency siren", "blares", "blaring"),
            Clause("a police siren", "wails", "wailing", "on the street"),
            Clause("the siren of an ambulance", "is wailing", "wailing"),
            Clause("an emergency vehicle", "sounds", "sounding", "its siren"),
        ),
        (
            Nominal("wail", tail="of a siren", article="the"),
            Nominal("wailing siren"),
            Nominal("siren", tail="of an emergency vehicle", article="the"),
            Nominal("emergency siren"),
        ),
        ("wailing", "piercing"),
        ("up and down",),
        sustained=True,
        seconds=(4.0, 12.0),
    ),
    EventKind(
        dial_tone,
        ("Dial tone", "Telephone"),
        (
            Clause("a dial tone", "hums", "humming", "on a telephone"),
            Clause("a telephone", "gives", "giving", "a dial tone"),
            Clause("a dial tone", "sounds", "sounding", "from a phone receiver"),
            Clause("a phone line", "hums", "humming", "with a dial tone"),
        ),
        (
            Nominal("dial tone", tail="of a telephone", article="the"),
            Nominal("dial tone"),
            Nominal("hum", tail="of a dial tone", article="the"),
        ),
        ("steady", "unchanging", "monotonous"),
        ("steadily", "without change"),
        seconds=(2.0, 9.0),
    ),
    EventKind(
        busy,
        ("Busy signal", "Telephone"),
        (
            Clause("a busy signal", "beeps", "beeping", "on a telephone"),
            Clause("a telephone", "gives", "giving", "a busy signal"),
            Clause("a busy phone line", "beeps", "beeping"),
            Clause("a busy tone", "pulses", "pulsing", "in a phone receiver"),
        ),
        (
            Nominal("busy signal", tail="of a telephone", article="the"),
            Nominal("busy tone"),
            Nominal("beeping", tail="of a busy phone line", article="the"),
        ),
        ("regular", "pulsing"),
        ("regularly", "at a regular pace"),
        seconds=(3.0, 9.0),
    ),
    EventKind(
        alarm_clock,
        ("Alarm clock", "Alarm", "Beep, bleep"),
        (
            Clause("an alarm clock", "beeps", "beeping"),
            Clause("a digital alarm", "goes", "going", "off"),
            Clause("an alarm clock", "is beeping", "beeping", "in a bedroom"),
            Clause("an electronic alarm", "beeps", "beeping", "in groups of four"),
        ),
        (
            Nominal("beeping", tail="of an alarm clock", article="the"),
            Nominal("alarm", tail="of a digital clock", article="the"),
            Nominal("beeps", tail="of a digital alarm", article="the", is_plural=True),
        ),
        ("high-pitched", "shrill", "insistent"),
        ("insistently",),
        seconds=(2.5, 9.0),
    ),
    EventKind(
        reversing,
        ("Reversing beeps", "Beep, bleep", "Truck", "Motor vehicle (road)", "Vehicle"),
        (
            Clause("a reversing truck", "beeps", "beeping"),
            Clause("a backup alarm", "beeps", "beeping"),
            Clause("a reversing alarm", "beeps", "beeping", "on a truck"),
            Clause("a reversing truck", "sounds", "sounding", "its beeper", repeats=False),
        ),
        (
            Nominal("beep", "beeps", "of a reversing truck"),
            Nominal("beep", "beeps", "from a backup alarm"),
            Nominal("reversing beep", "reversing beeps"),
        ),
        ("electronic",),
        counts=(3, 9),
        period=(0.9, 1.2),
    ),
)
