"""Birds: whistled chirps, hoots, caws."""

import numpy as np

from utils.demo.sound_events import dsp
from utils.demo.sound_events.kind import Clause, EventKind, Generator, Nominal, Sound

BIRD = ("Bird vocalization, bird call, bird song", "Bird", "Wild animals", "Animal")


def bird(rng: Generator, seconds: float, count: int, rate: int) -> Sound:
    """Chirps: one whistled syllable of the singer's own shape, again and again."""
    out = dsp.silence(seconds, rate)
    pitch = dsp.between(rng, 2800, 5200)
    shape = np.array([[1.25, 0.85, 0.8], [0.8, 1.0, 1.3], [0.85, 1.25, 0.85], [1.2, 0.8, 1.15]])[
        rng.integers(4)
    ]
    long = rng.uniform(0.07, 0.16)
    trill = rng.choice([0.0, rng.uniform(30, 60)])
    for onset in dsp.onset_times(rng, count, seconds, jitter=0.1):
        m = dsp.length(long * rng.uniform(0.9, 1.1), rate)
        f0 = pitch * rng.uniform(0.97, 1.03) * dsp.contour(shape, m)
        f0 *= 1 + 0.04 * np.sin(2 * np.pi * trill * dsp.time_axis(m, rate))
        f0 = np.minimum(f0, dsp.NYQUIST_SHARE * rate)
        chirp = np.sin(2 * np.pi * dsp.phase(f0, rate)) * dsp.swell(m, rate, 0.015, 0.03)
        dsp.place(out, chirp, onset, rate, rng.uniform(0.7, 1.0))
    return dsp.finish(out, rate)


def owl(rng: Generator, seconds: float, count: int, rate: int) -> Sound:
    """Hoots: almost pure, breathy, falling a little."""
    out = dsp.silence(seconds, rate)
    pitch = dsp.between(rng, 300, 460)
    for onset in dsp.onset_times(rng, count, seconds, jitter=0.08):
        m = dsp.length(rng.uniform(0.35, 0.55), rate)
        f0 = pitch * rng.uniform(0.98, 1.02) * dsp.contour([0.9, 1.0, 1.0, 0.93], m)
        hoot = dsp.harmonics(dsp.phase(f0, rate), [1, 0.12, 0.05])
        hoot += 0.05 * dsp.band_noise(rng, m, rate, 250, 900)
        dsp.place(out, hoot * dsp.swell(m, rate, 0.08, 0.15), onset, rate, rng.uniform(0.8, 1.0))
    return dsp.finish(out, rate)


def crow(rng: Generator, seconds: float, count: int, rate: int) -> Sound:
    """Caws: a harsh, noisy call with strong upper formants."""
    out = dsp.silence(seconds, rate)
    pitch = dsp.between(rng, 430, 620)
    for onset in dsp.onset_times(rng, count, seconds, jitter=0.1):
        m = dsp.length(rng.uniform(0.28, 0.42), rate)
        f0 = (
            pitch
            * dsp.contour([0.9, 1.05, 1.0, 0.85], m)
            * dsp.wander(rng, m, rate, 180, 0.86, 1.14)
        )
        source = dsp.buzz(f0, rate, slope=0.3, most=20) + 1.2 * dsp.band_noise(
            rng, m, rate, 900, 6000
        )
        caw = dsp.resonances(source, [1350, 1900, 3300], [200, 300, 700], [1, 0.9, 0.35], rate)
        roughness = 1 + 0.6 * np.sin(2 * np.pi * rng.uniform(60, 90) * dsp.time_axis(m, rate))
        caw *= roughness * dsp.swell(m, rate, 0.03, 0.12)
        dsp.place(out, dsp.normalise(caw), onset, rate, rng.uniform(0.8, 1.0))
    return dsp.finish(out, rate)


KINDS = (
    EventKind(
        bird,
        ("Chirp, tweet", *BIRD),
        (
            Clause("a bird", "chirps", "chirping"),
            Clause("a small bird", "tweets", "tweeting", "in a tree"),
            Clause("a songbird", "chirps", "chirping"),
            Clause("a sparrow", "chirps", "chirping", "outside"),
            Clause("a bird", "is chirping", "chirping", "in the bushes"),
        ),
        (
            Nominal("chirp", "chirps", "of a bird"),
            Nominal("tweet", "tweets", "from a small bird"),
            Nominal("bird chirp", "bird chirps"),
            Nominal("chirp", "chirps", "from a songbird"),
        ),
        ("high-pitched", "bright", "shrill"),
        counts=(2, 12),
        period=(0.25, 0.7),
    ),
    EventKind(
        owl,
        ("Hoot", "Owl", *BIRD),
        (
            Clause("an owl", "hoots", "hooting"),
            Clause("an owl", "calls", "calling", "from a tree"),
            Clause("a night owl", "hoots", "hooting"),
            Clause("an owl", "is hooting", "hooting", "at night"),
        ),
        (
            Nominal("hoot", "hoots", "of an owl"),
            Nominal("owl hoot", "owl hoots"),
            Nominal("hoot", "hoots", "from an owl"),
            Nominal("call", "calls", "of an owl"),
        ),
        ("hollow", "mellow"),
        counts=(1, 6),
        period=(0.8, 1.7),
    ),
    EventKind(
        crow,
        ("Caw", "Crow", *BIRD),
        (
            Clause("a crow", "caws", "cawing"),
            Clause("a crow", "calls", "calling", "from a rooftop"),
            Clause("a raven", "caws", "cawing", "overhead"),
            Clause("a crow", "is cawing", "cawing", "in a field"),
        ),
        (
            Nominal("caw", "caws", "of a crow"),
            Nominal("crow call", "crow calls"),
            Nominal("caw", "caws", "from a crow"),
        ),
        ("harsh", "raspy"),
        counts=(1, 7),
        period=(0.55, 1.1),
    ),
)
