"""Animals other than birds: voices with formants, stridulation, wing beats."""

import numpy as np

from utils.demo.sound_events import dsp
from utils.demo.sound_events.kind import Clause, EventKind, Generator, Nominal, Sound

PET = ("Domestic animals, pets", "Animal")
CRICKET_CARRIER = (4200.0, 5000.0)  # Gryllus: 4-5 kHz, chirps of three to five pulses
FLY_WINGBEAT = (150.0, 220.0)  # Musca domestica beats its wings some 190 times a second


def dog(rng: Generator, seconds: float, count: int, rate: int) -> Sound:
    """Barks: glottal bursts whose pitch rises and falls, through the formants of a muzzle."""
    out = dsp.silence(seconds, rate)
    size = dsp.between(rng, 0.75, 1.5)  # of the dog: 1.5 is a small one
    pitch = 330 * size * rng.uniform(0.85, 1.15)
    for onset in dsp.onset_times(rng, count, seconds, jitter=0.12):
        m = dsp.length(rng.uniform(0.13, 0.2), rate)
        f0 = pitch * rng.uniform(0.93, 1.07) * dsp.contour([0.75, 1.15, 1.1, 0.65], m)
        source = dsp.buzz(f0, rate, slope=0.7) + 0.5 * dsp.band_noise(rng, m, rate, 400, 6000)
        bark = dsp.resonances(
            source, np.array([620, 1150, 2300, 3600]) * size, [160, 220, 400, 600],
            [1.0, 0.8, 0.35, 0.2], rate,
        )  # fmt: skip
        bark *= dsp.swell(m, rate, 0.012, 0.09)
        dsp.place(out, dsp.normalise(bark), onset, rate, rng.uniform(0.75, 1.0))
    return dsp.finish(out, rate)


def cat(rng: Generator, seconds: float, count: int, rate: int) -> Sound:
    """Meows: a long glide up and down while the mouth opens and closes."""
    out = dsp.silence(seconds, rate)
    pitch = dsp.between(rng, 480, 720)
    for onset in dsp.onset_times(rng, count, seconds, jitter=0.08):
        m = dsp.length(rng.uniform(0.55, 0.85), rate)
        f0 = pitch * rng.uniform(0.95, 1.05) * dsp.contour([0.8, 1.05, 1.15, 1.05, 0.75], m)
        f0 *= 1 + 0.012 * np.sin(2 * np.pi * rng.uniform(5, 8) * dsp.time_axis(m, rate))
        source = dsp.buzz(f0, rate, slope=0.9, most=16)
        closed = dsp.resonances(source, [750, 2900, 4200], [250, 500, 700], [1, 0.6, 0.2], rate)
        opened = dsp.resonances(source, [1250, 1900, 3900], [250, 300, 700], [1, 0.8, 0.3], rate)
        mouth = np.sin(np.pi * np.linspace(0, 1, m) ** 0.8) ** 2
        meow = (closed * (1 - mouth) + opened * mouth) * (0.35 + 0.65 * mouth)
        dsp.place(out, dsp.normalise(meow * dsp.swell(m, rate, 0.06, 0.12)), onset, rate)
    return dsp.finish(out, rate)


def cow(rng: Generator, seconds: float, count: int, rate: int) -> Sound:
    """Moos: a long low call that opens from a hum."""
    out = dsp.silence(seconds, rate)
    pitch = dsp.between(rng, 95, 160)
    for onset in dsp.onset_times(rng, count, seconds, jitter=0.05):
        m = dsp.length(rng.uniform(1.3, 1.9), rate)
        f0 = (
            pitch
            * dsp.contour([0.85, 1.0, 1.08, 1.05, 0.8], m)
            * dsp.wander(rng, m, rate, 9, 0.98, 1.02)
        )
        source = dsp.buzz(f0, rate, slope=0.8)
        hum = dsp.resonances(source, [220, 900], [80, 200], [1, 0.1], rate)
        call = dsp.resonances(source, [420, 800, 2100], [110, 160, 400], [1, 0.7, 0.2], rate)
        opening = np.clip(3 * np.linspace(0, 1, m) - 0.6, 0, 1)
        moo = (hum * (1 - opening) + call * opening) * dsp.swell(m, rate, 0.15, 0.3)
        dsp.place(out, dsp.normalise(moo), onset, rate)
    return dsp.finish(out, rate)


def frog(rng: Generator, seconds: float, count: int, rate: int) -> Sound:
    """Croaks: a rattle of pulses, each ringing in the vocal sac."""
    out = dsp.silence(seconds, rate)
    sac = dsp.between(rng, 550, 1100)
    pulse_rate = dsp.between(rng, 35, 65)
    for onset in dsp.onset_times(rng, count, seconds, jitter=0.1):
        m = dsp.length(rng.uniform(0.28, 0.45), rate)
        times = np.arange(0, m / rate, 1 / pulse_rate)
        pulses = dsp.impulses(times, rng.uniform(0.8, 1.2, len(times)), m, rate)
        croak = dsp.resonances(
            pulses, [sac, 2.1 * sac, 3.4 * sac], [90, 200, 400], [1, 0.6, 0.25], rate
        )
        croak *= dsp.swell(m, rate, 0.1, 0.08)
        dsp.place(out, dsp.normalise(croak), onset, rate, rng.uniform(0.8, 1.0))
    return dsp.finish(out, rate)


def cricket(rng: Generator, seconds: float, count: int, rate: int) -> Sound:
    """Stridulation: chirps of a few pulses, one for each closing stroke of the wings."""
    n = dsp.length(seconds, rate)
    pulses, gap = rng.integers(3, 6), rng.uniform(0.028, 0.038)
    chirps = np.arange(0, seconds, dsp.between(rng, 0.28, 0.6))
    chirps = chirps + rng.uniform(-0.01, 0.01, len(chirps))
    times = (chirps[:, None] + gap * np.arange(pulses)).ravel()
    level = np.repeat(rng.uniform(0.8, 1.0, len(chirps)), pulses)
    pulse = dsp.swell(dsp.length(0.6 * gap, rate), rate, 0.006, 0.006)
    envelope = np.zeros(n)
    for time, gain in zip(times, level, strict=True):
        dsp.place(envelope, pulse, time, rate, gain)
    pitch = dsp.between(rng, *CRICKET_CARRIER) * dsp.wander(rng, n, rate, 20, 0.997, 1.003)
    return dsp.finish(envelope * np.sin(2 * np.pi * dsp.phase(pitch, rate)), rate)


def fly(rng: Generator, seconds: float, count: int, rate: int) -> Sound:
    """Buzz of wings, swinging in pitch and level as the insect circles."""
    n = dsp.length(seconds, rate)
    pitch = dsp.between(rng, *FLY_WINGBEAT) * dsp.wander(rng, n, rate, 2.5, 0.92, 1.08)
    pitch *= dsp.wander(rng, n, rate, 60, 0.99, 1.01)
    wings = dsp.band_filter(dsp.buzz(pitch, rate, slope=0.4, most=30), 200, 4500, rate)
    return dsp.finish(wings * dsp.wander(rng, n, rate, 1.5, 0.08, 1.0) ** 1.5, rate)


KINDS = (
    EventKind(
        dog,
        ("Bark", "Dog", *PET),
        (
            Clause("a dog", "barks", "barking"),
            Clause("a hound", "barks", "barking", "at someone"),
            Clause("a dog", "is barking", "barking"),
            Clause("a guard dog", "barks", "barking", "behind a fence"),
            Clause("a pet dog", "barks", "barking"),
        ),
        (
            Nominal("bark", "barks", "of a dog"),
            Nominal("bark", "barks", "from a dog"),
            Nominal("dog bark", "dog barks"),
            Nominal("woof", "woofs", "from a dog"),
        ),
        ("sharp", "short"),
        counts=(1, 8),
        period=(0.35, 0.9),
    ),
    EventKind(
        cat,
        ("Meow", "Cat", *PET),
        (
            Clause("a cat", "meows", "meowing"),
            Clause("a kitten", "mews", "mewing"),
            Clause("a hungry cat", "meows", "meowing"),
            Clause("a house cat", "is meowing", "meowing"),
            Clause("a cat", "cries", "crying", "for food"),
        ),
        (
            Nominal("meow", "meows", "of a cat"),
            Nominal("meow", "meows", "from a cat"),
            Nominal("cry", "cries", "of a cat"),
            Nominal("cat meow", "cat meows"),
        ),
        ("plaintive", "drawn-out"),
        counts=(1, 5),
        period=(1.0, 2.0),
    ),
    EventKind(
        cow,
        ("Moo", "Cattle, bovinae", "Livestock, farm animals, working animals", "Animal"),
        (
            Clause("a cow", "moos", "mooing"),
            Clause("a cow", "lows", "lowing", "in a pasture"),
            Clause("a cow", "is mooing", "mooing", "in a barn"),
            Clause("a farm cow", "moos", "mooing"),
        ),
        (
            Nominal("moo", "moos", "of a cow"),
            Nominal("moo", "moos", "from a cow"),
            Nominal("call", "calls", "of a cow"),
        ),
        ("deep", "long", "low"),
        counts=(1, 3),
        period=(2.1, 3.4),
    ),
    EventKind(
        frog,
        ("Croak", "Frog", "Wild animals", "Animal"),
        (
            Clause("a frog", "croaks", "croaking"),
            Clause("a frog", "croaks", "croaking", "by a pond"),
            Clause("a toad", "croaks", "croaking"),
            Clause("a frog", "is croaking", "croaking", "in the reeds"),
        ),
        (
            Nominal("croak", "croaks", "of a frog"),
            Nominal("frog croak", "frog croaks"),
            Nominal("croak", "croaks", "from a frog"),
            Nominal("ribbit", "ribbits", "from a frog"),
        ),
        ("rattling", "throaty"),
        counts=(1, 8),
        period=(0.6, 1.3),
    ),
    EventKind(
        cricket,
        ("Cricket", "Insect", "Wild animals", "Animal"),
        (
            Clause("a cricket", "chirps", "chirping"),
            Clause("a cricket", "sings", "singing", "in the grass"),
            Clause("a cricket", "is chirping", "chirping", "at night"),
            Clause("an insect", "chirps", "chirping", "in a meadow"),
        ),
        (
            Nominal("chirping", tail="of a cricket", article="the"),
            Nominal("cricket song", article=""),
            Nominal("song", tail="of a cricket", article="the"),
            Nominal("insect chirping", article=""),
        ),
        ("high-pitched", "pulsing"),
        ("rhythmically", "regularly"),
        sustained=True,
    ),
    EventKind(
        fly,
        ("Fly, housefly", "Buzz", "Insect", "Animal"),
        (
            Clause("a fly", "buzzes", "buzzing", "around"),
            Clause("a housefly", "is buzzing", "buzzing", "near a window"),
            Clause("an insect", "buzzes", "buzzing", "back and forth"),
            Clause("a fly", "circles and buzzes", "circling and buzzing"),
        ),
        (
            Nominal("buzzing", tail="of a fly", article="the"),
            Nominal("buzz", tail="of an insect", article="the"),
            Nominal("buzzing fly"),
            Nominal("whine", tail="of a housefly", article="the"),
        ),
        ("annoying", "droning"),
        sustained=True,
    ),
)
