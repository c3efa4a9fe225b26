"""Short noisy events made by people: steps, knocks, tools, shots, clapping."""

import numpy as np

from utils.demo.sound_events import dsp
from utils.demo.sound_events.kind import Clause, EventKind, Generator, Nominal, Sound

SHOT_TAIL = 0.8


def footsteps(rng: Generator, seconds: float, count: int, rate: int) -> Sound:
    """Heel, then sole: a thud of the floor and a scuff, left and right a little different."""
    out = dsp.silence(seconds, rate)
    floor = dsp.between(rng, 90, 180)
    scuffing, clicking = rng.uniform(0.15, 0.5), rng.uniform(0.1, 0.6)
    m = dsp.length(0.25, rate)
    for step, onset in enumerate(dsp.onset_times(rng, count, seconds, jitter=0.05)):
        foot = 1.0 if step % 2 else 1.08
        thud = dsp.modes(
            floor * foot * np.array([1, 1.7, 2.9, 5.3]), [0.14, 0.1, 0.07, 0.04],
            [1, 0.7, 0.4, 0.25], m, rate, attack=0.003,
        )  # fmt: skip
        heel = dsp.band_noise(rng, m, rate, 1000, 3500) * dsp.decay(m, rate, 0.02)
        sole = dsp.band_noise(rng, m, rate, 600, 5000, order=1)
        sole *= dsp.swell(m, rate, 0.09, 0.1) ** 2
        sound = thud + clicking * heel + 0.25 * scuffing * sole
        dsp.place(out, sound, onset, rate, rng.uniform(0.75, 1.0))
    return dsp.finish(out, rate)


def knock(rng: Generator, seconds: float, count: int, rate: int) -> Sound:
    """Knuckles on wood: the damped modes of a door panel."""
    out = dsp.silence(seconds, rate)
    panel = dsp.between(rng, 220, 380)
    ratios = np.array([1, 1.52, 2.17, 3.1, 4.4]) * rng.uniform(0.95, 1.05, 5)
    m = dsp.length(0.2, rate)
    for onset in dsp.onset_times(rng, count, seconds, jitter=0.06):
        gains = np.array([0.9, 1.0, 0.8, 0.6, 0.4]) * rng.uniform(0.8, 1.2, 5)
        rap = dsp.modes(
            panel * ratios, [0.12, 0.1, 0.08, 0.05, 0.03], gains, m, rate, attack=0.0008
        )
        rap += 0.5 * dsp.band_noise(rng, m, rate, 800, 3000) * dsp.decay(m, rate, 0.012)
        dsp.place(out, rap, onset, rate, rng.uniform(0.8, 1.0))
    return dsp.finish(out, rate)


def hammer(rng: Generator, seconds: float, count: int, rate: int) -> Sound:
    """Steel on a nail: a hard click, the ring of the metal, the thud of the wood below."""
    out = dsp.silence(seconds, rate)
    steel = dsp.between(rng, 1700, 2600)
    ratios = np.array([1, 1.83, 2.71, 3.6]) * rng.uniform(0.96, 1.04, 4)
    board = dsp.between(rng, 140, 260)
    m = dsp.length(0.35, rate)
    for onset in dsp.onset_times(rng, count, seconds, jitter=0.06):
        blow = dsp.modes(steel * ratios, [0.22, 0.16, 0.12, 0.08], [0.5, 0.45, 0.35, 0.25], m, rate)
        blow += dsp.modes(board * np.array([1, 1.6]), [0.1, 0.07], [0.6, 0.4], m, rate)
        blow += 0.5 * dsp.band_noise(rng, m, rate, 900, 9000, order=1) * dsp.decay(m, rate, 0.02)
        dsp.place(out, blow, onset, rate, rng.uniform(0.8, 1.0))
    return dsp.finish(out, rate)


def gunshot(rng: Generator, seconds: float, count: int, rate: int) -> Sound:
    """Muzzle blast: Friedlander's (1946) overpressure pulse, noise, a boom and late echoes."""
    out = dsp.silence(seconds, rate)
    m = dsp.length(1.2, rate)
    t = dsp.time_axis(m, rate)
    duration = dsp.between(rng, 0.0015, 0.004)
    blast = (1 - t / duration) * np.exp(-t / duration)
    report = dsp.band_noise(rng, m, rate, 150, dsp.between(rng, 3500, 8000), order=1, tilt=0.3)
    report *= dsp.decay(m, rate, rng.uniform(0.18, 0.35))
    boom = dsp.band_noise(rng, m, rate, 50, 220) * dsp.decay(m, rate, 0.5)
    tail = dsp.band_noise(rng, m, rate, 150, 1500, tilt=0.3) * dsp.decay(m, rate, 1.1, attack=0.05)
    shot = 1.5 * blast + report + 0.7 * boom + rng.uniform(0.05, 0.15) * tail
    for onset in dsp.onset_times(rng, count, seconds, tail=SHOT_TAIL, jitter=0.1):
        dsp.place(out, shot, onset, rate, rng.uniform(0.9, 1.0))
    return dsp.finish(out, rate)


def applause(rng: Generator, seconds: float, count: int, rate: int) -> Sound:
    """Many hands: single claps resonate between the palms at some 0.7-2.5 kHz (Repp, 1987)."""
    n = dsp.length(seconds, rate)
    out = np.zeros(n)
    per_second = dsp.between(rng, 60, 350)
    groups = 7
    for palms in np.geomspace(700, 2600, groups) * rng.uniform(0.93, 1.07, groups):
        times = dsp.random_times(rng, per_second / groups, seconds)
        claps = dsp.impulses(times, rng.uniform(0.2, 1.0, len(times)), n, rate)
        out += dsp.resonances(claps, [palms, 2.4 * palms], [0.45 * palms, palms], [1, 0.6], rate)
    grain = dsp.band_filter(out, 350, None, rate)
    return dsp.finish(
        grain * dsp.swell(n, rate, min(0.5, seconds / 4), min(1.0, seconds / 4)), rate
    )


def sawing(rng: Generator, seconds: float, count: int, rate: int) -> Sound:
    """Hand saw: a stroke and a weaker one back, teeth catching faster with speed."""
    out = dsp.silence(seconds, rate)
    period = seconds / count
    blade = dsp.between(rng, 1400, 2600)
    for onset in dsp.onset_times(rng, count, seconds, jitter=0.03):
        for delay, gain, shift in ((0.0, 1.0, 1.0), (0.5, 0.35, 1.25)):
            m = dsp.length(0.42 * period, rate)
            speed = np.sin(np.pi * np.linspace(0, 1, m))
            teeth = 1 + 0.8 * np.sin(2 * np.pi * dsp.phase(60 + 170 * speed, rate))
            scrape = dsp.band_noise(rng, m, rate, 600, 6500, order=1)
            scrape += dsp.resonances(scrape, [blade * shift, 2 * blade], [300, 700], [3, 2], rate)
            dsp.place(out, scrape * teeth * speed, onset + delay * period, rate, gain)
    return dsp.finish(out, rate)


KINDS = (
    EventKind(
        footsteps,
        ("Walk, footsteps",),
        (
            Clause("someone", "walks", "walking", "across a floor", repeats=False),
            Clause("a person", "takes", "taking", "", ("step", "steps")),
            Clause("someone", "takes", "taking", "across a room", ("step", "steps")),
            Clause("a man", "walks", "walking", "down a hallway", repeats=False),
            Clause("footsteps", "echo", "echoing", "on a hard floor", repeats=False),
        ),
        (
            Nominal("footstep", "footsteps"),
            Nominal("step", "steps", "on a floor"),
            Nominal("footstep", "footsteps", "of a person"),
        ),
        ("steady",),
        counts=(4, 14),
        period=(0.42, 0.75),
    ),
    EventKind(
        knock,
        ("Knock", "Door"),
        (
            Clause("someone", "knocks", "knocking", "on a wooden door"),
            Clause("a person", "raps", "rapping", "on a door"),
            Clause("a door", "is knocked on", "being knocked on"),
            Clause("a visitor", "knocks", "knocking", "at the door"),
            Clause("knuckles", "rap", "rapping", "on wood"),
        ),
        (
            Nominal("knock", "knocks", "on a door"),
            Nominal("rap", "raps", "on a wooden door"),
            Nominal("knock", "knocks", "on wood"),
        ),
        ("wooden", "firm"),
        counts=(2, 8),
        period=(0.2, 0.5),
    ),
    EventKind(
        hammer,
        ("Hammer", "Tools"),
        (
            Clause("someone", "hammers", "hammering", "a nail"),
            Clause("a hammer", "strikes", "striking", "a nail"),
            Clause("a carpenter", "hammers", "hammering", "on metal"),
            Clause("a nail", "is hit", "being hit", "with a hammer"),
            Clause("a worker", "pounds", "pounding", "with a hammer"),
        ),
        (
            Nominal("blow", "blows", "of a hammer"),
            Nominal("hammer blow", "hammer blows"),
            Nominal("hit", "hits", "of a hammer on metal"),
        ),
        ("hard", "metallic"),
        counts=(2, 10),
        period=(0.4, 0.9),
    ),
    EventKind(
        gunshot,
        ("Gunshot, gunfire",),
        (
            Clause("a gun", "is fired", "being fired"),
            Clause("a gun", "fires", "firing"),
            Clause("someone", "shoots", "shooting", "a rifle"),
            Clause("a pistol", "is shot", "being shot"),
            Clause("a hunter", "fires", "firing", "a rifle"),
        ),
        (
            Nominal("gunshot", "gunshots"),
            Nominal("shot", "shots", "from a gun"),
            Nominal("rifle shot", "rifle shots"),
            Nominal("blast", "blasts", "of a gun"),
        ),
        ("sudden", "sharp", "echoing"),
        counts=(1, 6),
        period=(0.5, 1.5),
        rings_seconds=SHOT_TAIL,
    ),
    EventKind(
        applause,
        ("Applause", "Clapping", "Hands", "Crowd"),
        (
            Clause("an audience", "applauds", "applauding"),
            Clause("a crowd", "claps", "clapping"),
            Clause("people", "are clapping", "clapping", "their hands"),
            Clause("a group of people", "applauds", "applauding", "in a hall"),
            Clause("many people", "clap", "clapping", "at an event"),
        ),
        (
            Nominal("applause", article=""),
            Nominal("applause", tail="of an audience", article="the"),
            Nominal("clapping", tail="of a crowd", article="the"),
            Nominal("round", tail="of applause"),
        ),
        ("enthusiastic", "lively"),
        ("enthusiastically",),
        sustained=True,
    ),
    EventKind(
        sawing,
        ("Sawing", "Tools", "Wood"),
        (
            Clause("someone", "saws", "sawing", "wood by hand", repeats=False),
            Clause("a hand saw", "cuts", "cutting", "through a board", repeats=False),
            Clause("a carpenter", "saws", "sawing", "through wood", repeats=False),
            Clause("a piece of wood", "is sawed", "being sawed", repeats=False),
            Clause("someone", "makes", "making", "with a saw", ("cut", "cuts")),
        ),
        (
            Nominal("stroke", "strokes", "of a hand saw"),
            Nominal("saw stroke", "saw strokes"),
            Nominal("stroke", "strokes", "of a saw through wood"),
        ),
        ("scraping", "rasping"),
        counts=(3, 12),
        period=(0.5, 0.95),
    ),
)
