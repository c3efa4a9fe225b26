"""Bells, chimes and glass: metal and glass that ring when struck."""

import numpy as np
from scipy import signal

from utils.demo.sound_events import dsp
from utils.demo.sound_events.kind import Clause, EventKind, Generator, Nominal, Sound

# Bending modes of a free bar: Fletcher & Rossing, "The Physics of Musical Instruments" (1998)
BAR_MODES = np.array([1.0, 2.756, 5.404])
# Hum, prime, tierce, quint, nominal, and those above, of a minor-third church bell (same book)
BELL_PARTIALS = np.array([0.5, 1.0, 1.2, 1.5, 2.0, 2.5, 2.67, 3.0, 4.0, 5.33])
BELL_T60 = np.array([12.0, 7.0, 6.0, 3.5, 4.0, 2.0, 1.8, 1.6, 1.0, 0.6])
BELL_GAINS = np.array([0.5, 0.7, 0.8, 0.35, 1.0, 0.35, 0.4, 0.5, 0.3, 0.2])
RINGER_HZ = 20.0  # ringing current of the Bell System; the clapper strikes two gongs in turn
RING_SHARE = 0.6  # of each ringing period
TUBES = 2.0 ** (np.array([0, 2, 4, 7, 9]) / 12)  # a pentatonic scale
BELL_TAIL = 2.5
DOORBELL_TAIL = 0.8
GLASS_TAIL = 0.3
SHATTER_TAIL = 0.4
DONG_DELAY = 0.55


def church_bell(rng: Generator, seconds: float, count: int, rate: int) -> Sound:
    """One bell: inharmonic partials that beat and die away each in its own time."""
    n = dsp.length(seconds, rate)
    out = np.zeros(n)
    prime = dsp.between(rng, 210, 420)
    partials = prime * BELL_PARTIALS * rng.uniform(0.99, 1.01, len(BELL_PARTIALS))
    doublets = np.concatenate([partials, partials * rng.uniform(1.001, 1.004, len(partials))])
    gains = np.tile(BELL_GAINS * rng.uniform(0.7, 1.3, len(BELL_GAINS)), 2)
    gains[len(partials) :] *= 0.5
    stroke = dsp.modes(doublets, np.tile(BELL_T60, 2), gains, n, rate, attack=0.002)
    m = dsp.length(0.05, rate)
    clapper = 0.5 * dsp.band_noise(rng, m, rate, 1500, 6000) * dsp.decay(m, rate, 0.03)
    dsp.place(stroke, clapper, 0.0, rate)
    for onset in dsp.onset_times(rng, count, seconds, tail=BELL_TAIL, jitter=0.03):
        dsp.place(out, stroke, onset, rate, rng.uniform(0.85, 1.0))
    return dsp.finish(out, rate)


def doorbell(rng: Generator, seconds: float, count: int, rate: int) -> Sound:
    """Ding-dong: two chime bars, the second a major or minor third lower."""
    out = dsp.silence(seconds, rate)
    ding = dsp.between(rng, 600, 760)
    m = dsp.length(1.8, rate)
    bars = [
        dsp.modes(f * BAR_MODES, [1.6, 0.5, 0.2], [1, 0.25, 0.12], m, rate, attack=0.002)
        for f in (ding, ding / rng.choice([1.19, 1.26]))
    ]
    for onset in dsp.onset_times(rng, count, seconds, tail=DOORBELL_TAIL, jitter=0.05):
        for bar, delay in zip(bars, (0.0, DONG_DELAY), strict=True):
            dsp.place(out, bar, onset + delay, rate)
    return dsp.finish(out, rate)


def telephone(rng: Generator, seconds: float, count: int, rate: int) -> Sound:
    """Two gongs struck in turn by a clapper, in rings with pauses."""
    out = dsp.silence(seconds, rate)
    period = seconds / count
    t60 = rng.uniform(0.25, 0.5)
    for onset in dsp.onset_times(rng, count, seconds, jitter=0.02):
        m = dsp.length(0.95 * period, rate)
        ring = np.zeros(m)
        strikes = np.arange(0, RING_SHARE * period, 1 / RINGER_HZ)
        for offset in (0.0, 0.5 / RINGER_HZ):
            out_of_step = dsp.impulses(
                strikes + offset, rng.uniform(0.8, 1.0, len(strikes)), m, rate
            )
            gong = dsp.between(rng, 1150, 1350) if offset == 0 else dsp.between(rng, 1400, 1600)
            shape = dsp.modes(
                gong * np.array([1, 2.2, 3.6]), [t60, 0.6 * t60, 0.3 * t60], [1, 0.9, 0.5],
                dsp.length(t60, rate), rate,
            )  # fmt: skip
            ring += signal.oaconvolve(out_of_step, shape)[:m]
        dsp.place(out, ring, onset, rate)
    return dsp.finish(out, rate)


def wind_chime(rng: Generator, seconds: float, count: int, rate: int) -> Sound:
    """Five tubes of a pentatonic scale, struck at random as the wind comes and goes."""
    out = dsp.silence(seconds, rate)
    low = dsp.between(rng, 1000, 1700)
    m = dsp.length(2.0, rate)
    tubes = [
        dsp.modes(low * step * BAR_MODES, [2.0, 1.0, 0.4], [1, 0.4, 0.2], m, rate) for step in TUBES
    ]
    strikes = dsp.random_times(rng, dsp.between(rng, 2.5, 5), seconds)
    for time in np.append(rng.uniform(0, 0.3), strikes):
        dsp.place(out, tubes[rng.integers(5)], time, rate, rng.uniform(0.2, 1.0))
    return dsp.finish(out, rate)


def glass_clink(rng: Generator, seconds: float, count: int, rate: int) -> Sound:
    """Glasses touching: high inharmonic modes of two bowls, short and bright."""
    out = dsp.silence(seconds, rate)
    m = dsp.length(0.7, rate)
    bowls = dsp.between(rng, 1900, 2900) * np.array([1, rng.uniform(1.06, 1.25)])
    # bending modes of a wine glass rise roughly as the squares of 2, 3, 4 (Fletcher & Rossing)
    rings = np.outer(bowls, np.array([1.0, 2.3, 4.1])).ravel()
    t60 = rng.uniform(0.25, 0.6) * np.tile([1.0, 0.5, 0.25], 2)
    for onset in dsp.onset_times(rng, count, seconds, tail=GLASS_TAIL, jitter=0.1):
        gains = rng.uniform(0.5, 1.0, 6)
        dsp.place(out, dsp.modes(rings, t60, gains, m, rate), onset, rate, rng.uniform(0.7, 1.0))
    return dsp.finish(out, rate)


def glass_break(rng: Generator, seconds: float, count: int, rate: int) -> Sound:
    """A pane shatters: a burst, then shards that ring briefly as they fall."""
    out = dsp.silence(seconds, rate)
    for onset in dsp.onset_times(rng, count, seconds, tail=SHATTER_TAIL, jitter=0.05):
        m = dsp.length(0.3, rate)
        burst = dsp.band_noise(rng, m, rate, 1500, 12000) * dsp.decay(
            m, rate, rng.uniform(0.12, 0.25)
        )
        dsp.place(out, burst, onset, rate, 0.5)
        for delay in rng.exponential(rng.uniform(0.18, 0.3), rng.integers(45, 80)):
            shard = dsp.between(rng, 2800, 10000)
            size = dsp.length(0.12, rate)
            ring = dsp.modes([shard, 1.37 * shard], rng.uniform(0.03, 0.12), [1, 0.6], size, rate)
            gain = 0.7 * rng.uniform(0.1, 0.6) * np.exp(-delay)
            dsp.place(out, ring, onset + delay, rate, gain)
    return dsp.finish(out, rate)


KINDS = (
    EventKind(
        church_bell,
        ("Church bell", "Bell"),
        (
            Clause("a church bell", "rings", "ringing"),
            Clause("a church bell", "tolls", "tolling"),
            Clause("a large bell", "is struck", "being struck"),
            Clause("a bell", "chimes", "chiming", "in a church tower"),
            Clause("the bell of a church", "is rung", "being rung"),
        ),
        (
            Nominal("stroke", "strokes", "of a church bell"),
            Nominal("chime", "chimes", "of a large bell"),
            Nominal("toll", "tolls", "of a church bell"),
            Nominal("bell chime", "bell chimes"),
        ),
        ("resonant", "ringing"),
        counts=(1, 6),
        period=(1.2, 2.2),
        rings_seconds=BELL_TAIL,
    ),
    EventKind(
        doorbell,
        ("Doorbell", "Ding-dong"),
        (
            Clause("a doorbell", "rings", "ringing"),
            Clause("a doorbell", "chimes", "chiming", "in a house"),
            Clause("someone", "rings", "ringing", "a doorbell"),
            Clause("a doorbell", "is rung", "being rung"),
        ),
        (
            Nominal("ring", "rings", "of a doorbell"),
            Nominal("doorbell chime", "doorbell chimes"),
            Nominal("ding-dong", "ding-dongs", "of a doorbell"),
        ),
        ("chiming", "melodic"),
        counts=(1, 3),
        period=(1.6, 2.6),
        rings_seconds=DOORBELL_TAIL,
    ),
    EventKind(
        telephone,
        ("Telephone bell ringing", "Telephone"),
        (
            Clause("a telephone", "rings", "ringing"),
            Clause("an old telephone", "rings", "ringing", "in an office"),
            Clause("a phone", "is ringing", "ringing"),
            Clause("a rotary phone", "rings", "ringing"),
        ),
        (
            Nominal("ring", "rings", "of a telephone"),
            Nominal("phone ring", "phone rings"),
            Nominal("ring", "rings", "of an old phone"),
        ),
        ("metallic", "shrill"),
        counts=(1, 4),
        period=(1.6, 3.0),
    ),
    EventKind(
        wind_chime,
        ("Wind chime", "Chime"),
        (
            Clause("wind chimes", "tinkle", "tinkling"),
            Clause("a wind chime", "jingles", "jingling", "in a breeze"),
            Clause("metal chimes", "ring", "ringing", "against each other"),
            Clause("a wind chime", "is ringing", "ringing", "on a porch"),
        ),
        (
            Nominal("tinkling", tail="of wind chimes", article="the"),
            Nominal("wind chimes", article="", is_plural=True),
            Nominal("jingle", tail="of a wind chime", article="the"),
        ),
        ("bright", "metallic", "tinkling"),
        ("at random",),
        sustained=True,
    ),
    EventKind(
        glass_clink,
        ("Chink, clink", "Glass"),
        (
            Clause("glasses", "clink", "clinking", "together"),
            Clause("glasses", "are clinked", "being clinked", "together"),
            Clause("someone", "taps", "tapping", "a glass"),
            Clause("a glass", "is struck", "being struck"),
        ),
        (
            Nominal("clink", "clinks", "of glasses"),
            Nominal("glass clink", "glass clinks"),
            Nominal("clink", "clinks", "of a glass"),
        ),
        ("bright", "delicate", "high-pitched"),
        counts=(1, 6),
        period=(0.5, 1.2),
        rings_seconds=GLASS_TAIL,
    ),
    EventKind(
        glass_break,
        ("Shatter", "Glass", "Breaking"),
        (
            Clause("glass", "shatters", "shattering"),
            Clause("glass", "breaks", "breaking", "into pieces"),
            Clause("glass", "is smashed", "being smashed", "on the ground"),
            Clause("someone", "smashes", "smashing", "glass"),
        ),
        (
            Nominal("crash", "crashes", "of breaking glass"),
            Nominal("smash", "smashes", "of glass"),
            Nominal("crash", "crashes", "of shattering glass"),
        ),
        ("sharp", "sudden"),
        counts=(1, 3),
        period=(1.4, 2.6),
        rings_seconds=SHATTER_TAIL,
    ),
)
