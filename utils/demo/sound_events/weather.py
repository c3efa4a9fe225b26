"""Weather, water and fire."""

import numpy as np

from utils.demo.sound_events import dsp
from utils.demo.sound_events.kind import Clause, EventKind, Generator, Nominal, Sound

THUNDER_TAIL = 1.5
DRIP_TAIL = 0.2
SWELL_SECONDS = (3.5, 7.0)  # wind sea has periods of some 4-8 s on beaches


def rain(rng: Generator, seconds: float, count: int, rate: int) -> Sound:
    """Hiss of many small drops with single nearer drops on top."""
    n = dsp.length(seconds, rate)
    hiss = dsp.band_noise(
        rng, n, rate, dsp.between(rng, 500, 1200), 9000, tilt=rng.uniform(0.0, 0.4)
    )
    hiss *= dsp.wander(rng, n, rate, 0.7, 0.8, 1.0)
    times = dsp.random_times(rng, dsp.between(rng, 60, 350), seconds)
    drops = dsp.impulses(times, rng.uniform(0.3, 1.0, len(times)), n, rate)
    tones = dsp.resonances(
        drops,
        [dsp.between(rng, 1200, 2200), dsp.between(rng, 2600, 4500), dsp.between(rng, 5000, 7000)],
        [500, 900, 1500],
        [0.8, 1.0, 0.7],
        rate,
    )
    tones *= rng.uniform(0.2, 0.6) / (np.std(tones) + 1e-12)
    return dsp.finish(hiss + tones, rate)


def thunder(rng: Generator, seconds: float, count: int, rate: int) -> Sound:
    """Claps: ragged cracks of the near channel, then the low rumble of the far one."""
    n = dsp.length(seconds, rate)
    out = np.zeros(n)
    for onset in dsp.onset_times(rng, count, seconds, tail=THUNDER_TAIL, jitter=0.08):
        size = n - round(onset * rate)
        t60 = rng.uniform(3.0, 5.0)
        rumble = dsp.band_noise(rng, size, rate, 25, dsp.between(rng, 90, 180), tilt=0.7)
        rumble *= dsp.decay(size, rate, t60, attack=0.03) * dsp.wander(rng, size, rate, 7, 0.3, 1.3)
        crack = dsp.band_noise(rng, size, rate, 80, dsp.between(rng, 900, 3000), tilt=0.6)
        bursts = np.zeros(size)
        for delay in np.append(0.0, rng.exponential(0.12, rng.integers(2, 6))):
            dsp.place(bursts, dsp.decay(size, rate, rng.uniform(0.25, 0.7)), delay, rate)
        dsp.place(out, 1.3 * rumble + rng.uniform(0.5, 0.9) * bursts * crack, onset, rate)
    return dsp.finish(out, rate)


def wind(rng: Generator, seconds: float, count: int, rate: int) -> Sound:
    """Gusts: as they grow, the energy moves to higher, whistling bands."""
    n = dsp.length(seconds, rate)
    gust = dsp.wander(rng, n, rate, dsp.between(rng, 0.5, 1.2), 0.1, 1.0)
    centre = dsp.between(rng, 220, 420)
    out = 0.5 * dsp.band_noise(rng, n, rate, 50, 250, tilt=0.8) * (0.5 + gust)
    for step, whistle in enumerate(centre * np.array([1.0, 1.35, 1.8, 2.4])):
        band = dsp.band_noise(rng, n, rate, 0.93 * whistle, 1.07 * whistle, order=3)
        out += band * np.exp(-(((gust - 0.25 * (step + 0.7)) / 0.18) ** 2)) * gust
    return dsp.finish(out, rate)


def waves(rng: Generator, seconds: float, count: int, rate: int) -> Sound:
    """Breakers: each swell rises slowly, breaks brightly and drains away."""
    n = dsp.length(seconds, rate)
    times = dsp.time_axis(n, rate)
    envelope = np.zeros(n)
    crest = rng.uniform(0.3, 0.6) * min(seconds, SWELL_SECONDS[0])
    while crest < seconds + SWELL_SECONDS[1]:
        since = times - crest
        rise = np.exp(-np.abs(since) / rng.uniform(0.7, 1.2))
        fall = np.exp(-np.abs(since) / rng.uniform(1.0, 2.0))
        envelope = np.maximum(envelope, rng.uniform(0.7, 1.0) * np.where(since < 0, rise, fall))
        crest += rng.uniform(*SWELL_SECONDS)
    deep = dsp.band_noise(rng, n, rate, 60, 500, tilt=0.5)
    foam = dsp.band_noise(rng, n, rate, 400, dsp.between(rng, 3500, 7000), order=1, tilt=0.3)
    return dsp.finish(deep * (0.08 + envelope) + foam * (0.02 + envelope**2), rate)


def stream(rng: Generator, seconds: float, count: int, rate: int) -> Sound:
    """Bubbles: each rings at Minnaert's frequency (1933), f in Hz = 3.26 / radius in m."""
    n = dsp.length(seconds, rate)
    out = 0.02 * dsp.band_noise(rng, n, rate, 400, 3500, order=1)
    low, high = dsp.between(rng, 350, 550), dsp.between(rng, 1500, 2600)
    for time in dsp.random_times(rng, rng.uniform(45, 90), seconds):
        pitch = dsp.between(rng, low, high)
        grain = dsp.length(0.06, rate)
        t60 = 40 / pitch
        bubble = dsp.damped(pitch, t60, grain, rate, attack=0.002)
        dsp.place(out, bubble, time, rate, rng.lognormal(-2.2, 0.6))
    return dsp.finish(out, rate)


def drip(rng: Generator, seconds: float, count: int, rate: int) -> Sound:
    """Single drops: a tick, a bubble that rises in pitch near the surface, an echo."""
    out = dsp.silence(seconds, rate)
    pitch = dsp.between(rng, 700, 1700)
    echo = rng.uniform(0.09, 0.18)
    for onset in dsp.onset_times(rng, count, seconds, tail=DRIP_TAIL, jitter=0.1):
        size = dsp.length(0.25, rate)
        t = dsp.time_axis(size, rate)
        rising = pitch * rng.uniform(0.93, 1.07) * (1 + rng.uniform(1.0, 2.5) * t)
        plink = np.sin(2 * np.pi * dsp.phase(rising, rate)) * dsp.decay(
            size, rate, 0.13, attack=0.003
        )
        plink += 0.15 * dsp.band_noise(rng, size, rate, 2500, 8000) * dsp.decay(size, rate, 0.008)
        level = rng.uniform(0.7, 1.0)
        dsp.place(out, plink, onset, rate, level)
        dsp.place(out, plink, onset + echo, rate, 0.12 * level)
    return dsp.finish(out, rate)


def fire(rng: Generator, seconds: float, count: int, rate: int) -> Sound:
    """Crackling: heavy-tailed pops over the flutter of the flames."""
    n = dsp.length(seconds, rate)
    out = (
        0.10
        * dsp.band_noise(rng, n, rate, 40, 350, tilt=0.6)
        * dsp.wander(rng, n, rate, 8, 0.3, 1.0)
    )
    out += 0.012 * dsp.band_noise(rng, n, rate, 2000, 9000)
    pop_noise = dsp.band_noise(rng, dsp.length(1.0, rate), rate, 900, 9000, order=1)
    for time in dsp.random_times(rng, dsp.between(rng, 10, 26), seconds):
        size = dsp.length(rng.uniform(0.004, 0.02), rate)
        start = rng.integers(len(pop_noise) - size)
        pop = pop_noise[start : start + size] * dsp.decay(size, rate, size / rate)
        dsp.place(out, pop, time, rate, min(rng.pareto(1.6) * 0.12 + 0.05, 1.0))
    return dsp.finish(out, rate)


KINDS = (
    EventKind(
        rain,
        ("Rain", "Rain on surface", "Raindrop", "Water"),
        (
            Clause("rain", "falls", "falling", "on a roof"),
            Clause("rain", "pours", "pouring", "down"),
            Clause("the rain", "comes", "coming", "down"),
            Clause("raindrops", "patter", "pattering", "on a hard surface"),
            Clause("water drops", "patter", "pattering", "on a roof"),
            Clause("rain", "is falling", "falling", "outside"),
            Clause("a rain shower", "drums", "drumming", "on the ground"),
        ),
        (
            Nominal("rain", article=""),
            Nominal("rainfall", article=""),
            Nominal("patter", tail="of rain", article="the"),
            Nominal("rain shower"),
            Nominal("hiss", tail="of falling rain", article="the"),
        ),
        ("steady", "pattering"),
        ("steadily",),
        sustained=True,
    ),
    EventKind(
        thunder,
        ("Thunder", "Thunderstorm", "Rumble"),
        (
            Clause("thunder", "rumbles", "rumbling"),
            Clause("thunder", "rolls", "rolling", "across the sky"),
            Clause("thunder", "claps and rumbles", "clapping and rumbling"),
            Clause("a thunderstorm", "rumbles", "rumbling", "overhead"),
        ),
        (
            Nominal("clap", "claps", "of thunder"),
            Nominal("rumble", "rumbles", "of thunder"),
            Nominal("thunderclap", "thunderclaps"),
            Nominal("peal", "peals", "of thunder"),
        ),
        ("rolling", "deep", "rumbling"),
        counts=(1, 3),
        period=(2.4, 4.0),
        rings_seconds=THUNDER_TAIL,
    ),
    EventKind(
        wind,
        ("Wind",),
        (
            Clause("the wind", "blows", "blowing"),
            Clause("wind", "howls", "howling", "around a house"),
            Clause("a strong wind", "is blowing", "blowing", "outside"),
            Clause("wind", "gusts", "gusting", "through an open place"),
            Clause("gusts of wind", "whistle", "whistling", "through a gap"),
        ),
        (
            Nominal("wind", article="the"),
            Nominal("howling", tail="of the wind", article="the"),
            Nominal("gusts", tail="of wind", article="", is_plural=True),
            Nominal("gusty breeze"),
        ),
        ("gusty", "blustery"),
        ("in gusts",),
        sustained=True,
    ),
    EventKind(
        waves,
        ("Waves, surf", "Ocean", "Water"),
        (
            Clause("waves", "crash", "crashing", "on the shore"),
            Clause("ocean waves", "roll", "rolling", "onto a beach"),
            Clause("the sea", "washes", "washing", "over a beach"),
            Clause("the surf", "breaks", "breaking", "on the rocks"),
            Clause("waves", "wash", "washing", "ashore"),
        ),
        (
            Nominal("waves", tail="on a beach", article="", is_plural=True),
            Nominal("surf", tail="of the ocean", article="the"),
            Nominal("ocean waves", article="", is_plural=True),
            Nominal("roar", tail="of the sea", article="the"),
        ),
        ("rolling", "breaking"),
        sustained=True,
        seconds=(5.0, 13.0),
    ),
    EventKind(
        stream,
        ("Stream", "Water", "Gurgling", "Trickle, dribble"),
        (
            Clause("a stream", "babbles", "babbling"),
            Clause("a brook", "gurgles", "gurgling", "over stones"),
            Clause("water", "trickles", "trickling", "over rocks"),
            Clause("a creek", "flows", "flowing", "past"),
            Clause("water", "bubbles and gurgles", "bubbling and gurgling"),
        ),
        (
            Nominal("stream", tail="of bubbling water"),
            Nominal("murmur", tail="of a brook", article="the"),
            Nominal("gurgling", tail="of a creek", article="the"),
            Nominal("running water", article=""),
        ),
        ("bubbling", "lively"),
        sustained=True,
    ),
    EventKind(
        drip,
        ("Drip", "Water", "Liquid"),
        (
            Clause("water", "drips", "dripping", "into a basin"),
            Clause("a faucet", "drips", "dripping"),
            Clause("a leaking tap", "drips", "dripping", "into a sink"),
            Clause("water", "drips", "dripping", "in a cave"),
        ),
        (
            Nominal("drop", "drops", "of water"),
            Nominal("drip", "drips", "from a tap"),
            Nominal("water drop", "water drops"),
            Nominal("drip", "drips", "of water"),
        ),
        ("echoing", "splashing"),
        counts=(2, 10),
        period=(0.35, 1.4),
        rings_seconds=DRIP_TAIL,
    ),
    EventKind(
        fire,
        ("Fire", "Crackle"),
        (
            Clause("a fire", "crackles", "crackling"),
            Clause("a campfire", "pops and crackles", "popping and crackling"),
            Clause("logs", "crackle", "crackling", "in a fireplace"),
            Clause("burning wood", "snaps", "snapping", "in a stove"),
            Clause("a wood fire", "is burning", "burning", "in a hearth"),
        ),
        (
            Nominal("crackling", tail="of a fire", article="the"),
            Nominal("crackling fire"),
            Nominal("crackle", tail="of a campfire", article="the"),
            Nominal("crackle", tail="of burning wood", article="the"),
        ),
        sustained=True,
    ),
)
