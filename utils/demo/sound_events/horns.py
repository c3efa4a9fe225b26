"""Horns and whistles: sounded by breath, steam or compressed air."""

import numpy as np

from utils.demo.sound_events import dsp
from utils.demo.sound_events.kind import Clause, EventKind, Generator, Nominal, Sound


def car_horn(rng: Generator, seconds: float, count: int, rate: int) -> Sound:
    """Pair of horns a third apart, rich in harmonics."""
    out = dsp.silence(seconds, rate)
    low = dsp.between(rng, 370, 440)
    ratio = rng.choice([1.19, 1.25])
    period = seconds / count
    for onset in dsp.onset_times(rng, count, seconds, jitter=0.06):
        m = dsp.length(min(rng.uniform(0.35, 0.8), 0.75 * period), rate)
        start = 1 - 0.03 * np.exp(-dsp.time_axis(m, rate) / 0.02)
        pair = sum(dsp.buzz(f * start, rate, slope=0.5, most=18) for f in (low, ratio * low))
        honk = dsp.resonances(pair, [1100, 2300, 3600], [700, 900, 1200], [1, 0.9, 0.5], rate)
        dsp.place(out, dsp.normalise(honk) * dsp.swell(m, rate, 0.02, 0.04), onset, rate)
    return dsp.finish(out, rate)


def steam_whistle(rng: Generator, seconds: float, count: int, rate: int) -> Sound:
    """Chime whistle: a chord of pipes that swells with the steam, in a cloud of hiss."""
    out = dsp.silence(seconds, rate)
    root = dsp.between(rng, 320, 480)
    chord = root * np.array([1, 1.26, 1.5, 2.0])[: rng.integers(3, 5)]
    period = seconds / count
    for onset in dsp.onset_times(rng, count, seconds, jitter=0.05):
        m = dsp.length(min(rng.uniform(0.9, 1.7), 0.8 * period), rate)
        bend = dsp.contour([0.9, 1, 1, 1, 1, 1, 0.93], m) * dsp.wander(
            rng, m, rate, 6, 0.995, 1.005
        )
        tones = sum(dsp.harmonics(dsp.phase(f * bend, rate), [1, 0.35, 0.2, 0.06]) for f in chord)
        steam = dsp.band_noise(rng, m, rate, 700, 7000, order=1)
        blast = tones / len(chord) + rng.uniform(0.08, 0.16) * steam
        dsp.place(out, blast * dsp.swell(m, rate, 0.12, 0.25), onset, rate)
    return dsp.finish(out, rate)


def foghorn(rng: Generator, seconds: float, count: int, rate: int) -> Sound:
    """Diaphone: a long bass tone that ends in a lower grunt."""
    out = dsp.silence(seconds, rate)
    pitch = dsp.between(rng, 85, 150)
    period = seconds / count
    for onset in dsp.onset_times(rng, count, seconds, jitter=0.03):
        m = dsp.length(min(rng.uniform(1.6, 2.6), 0.75 * period), rate)
        f0 = pitch * dsp.contour([0.97] + [1.0] * 8 + [0.8], m)
        tone = dsp.band_filter(dsp.buzz(f0, rate, slope=0.7, most=24), 60, 900, rate)
        dsp.place(out, dsp.normalise(tone) * dsp.swell(m, rate, 0.15, 0.3), onset, rate)
    return dsp.finish(out, rate)


def whistle(rng: Generator, seconds: float, count: int, rate: int) -> Sound:
    """Referee's whistle: two chambers a little apart, chopped by the pea."""
    out = dsp.silence(seconds, rate)
    pitch = dsp.between(rng, 2300, 3400)
    period = seconds / count
    for onset in dsp.onset_times(rng, count, seconds, jitter=0.08):
        m = dsp.length(min(rng.uniform(0.3, 0.8), 0.75 * period), rate)
        t = dsp.time_axis(m, rate)
        pea = np.sin(2 * np.pi * dsp.phase(dsp.wander(rng, m, rate, 5, 24, 38), rate))
        f0 = pitch * (1 + 0.015 * pea) * dsp.contour([0.96, 1, 1, 1, 0.97], m)
        tone = sum(np.sin(2 * np.pi * dsp.phase(f0 * ratio, rate)) for ratio in (1.0, 1.045))
        blow = 0.12 * dsp.band_noise(rng, m, rate, 2000, 7000)
        shrill = (tone + blow) * (0.65 + 0.35 * pea) * np.minimum(1, t / 0.01)
        dsp.place(out, shrill * dsp.swell(m, rate, 0.01, 0.05), onset, rate)
    return dsp.finish(out, rate)


KINDS = (
    EventKind(
        car_horn,
        ("Vehicle horn, car horn, honking", "Car", "Motor vehicle (road)", "Vehicle"),
        (
            Clause("a car horn", "honks", "honking"),
            Clause("a driver", "honks", "honking", "the horn"),
            Clause("a car", "honks", "honking", "in traffic"),
            Clause("a car horn", "is blown", "being blown"),
            Clause("an impatient driver", "honks", "honking"),
        ),
        (
            Nominal("honk", "honks", "of a car horn"),
            Nominal("car honk", "car honks"),
            Nominal("honk", "honks", "from a car"),
            Nominal("blast", "blasts", "of a car horn"),
        ),
        ("blaring",),
        counts=(1, 5),
        period=(0.6, 1.5),
    ),
    EventKind(
        steam_whistle,
        ("Steam whistle", "Train whistle", "Whistle", "Train"),
        (
            Clause("a steam train", "whistles", "whistling"),
            Clause("a train whistle", "blows", "blowing"),
            Clause("a steam locomotive", "blows", "blowing", "its whistle"),
            Clause("a steam whistle", "is blown", "being blown"),
            Clause("a train", "whistles", "whistling", "at a crossing"),
        ),
        (
            Nominal("blast", "blasts", "of a train whistle"),
            Nominal("train whistle", "train whistles"),
            Nominal("blast", "blasts", "of a steam whistle"),
            Nominal("toot", "toots", "of a steam train"),
        ),
        ("long", "breathy"),
        counts=(1, 4),
        period=(1.5, 2.6),
    ),
    EventKind(
        foghorn,
        ("Foghorn",),
        (
            Clause("a foghorn", "sounds", "sounding"),
            Clause("a foghorn", "blows", "blowing", "in a harbor"),
            Clause("a ship's foghorn", "blares", "blaring", "over the water"),
            Clause("a foghorn", "is sounded", "being sounded", "at sea"),
        ),
        (
            Nominal("blast", "blasts", "of a foghorn"),
            Nominal("foghorn blast", "foghorn blasts"),
            Nominal("call", "calls", "of a foghorn"),
        ),
        ("deep", "long", "low"),
        counts=(1, 3),
        period=(2.8, 4.0),
    ),
    EventKind(
        whistle,
        ("Whistle",),
        (
            Clause("a referee", "blows", "blowing", "a whistle"),
            Clause("a whistle", "is blown", "being blown"),
            Clause("a sports whistle", "shrills", "shrilling", "on a field"),
            Clause("someone", "blows", "blowing", "into a whistle"),
        ),
        (
            Nominal("blast", "blasts", "of a referee whistle"),
            Nominal("whistle blast", "whistle blasts"),
            Nominal("trill", "trills", "of a referee whistle"),
        ),
        ("shrill", "high-pitched", "piercing"),
        counts=(1, 5),
        period=(0.7, 1.4),
    ),
)
