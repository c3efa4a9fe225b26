"""Musical instruments: drum, guitar, piano, flute."""

import numpy as np
from scipy import signal

from utils.demo.sound_events import dsp
from utils.demo.sound_events.kind import Clause, EventKind, Generator, Nominal, Sound

MUSIC = ("Musical instrument", "Music")
# Circular membrane: Fletcher & Rossing, "The Physics of Musical Instruments" (1998)
MEMBRANE_MODES = np.array([1.0, 1.594, 2.136, 2.296, 2.653, 2.918, 3.156])
PENTATONIC = 2.0 ** (np.array([0, 2, 4, 7, 9, 12]) / 12)
NOTE_TAIL = 0.8


def drum(rng: Generator, seconds: float, count: int, rate: int) -> Sound:
    """Modes of a membrane, falling a little in pitch after the blow, and the noise of the stick."""
    out = dsp.silence(seconds, rate)
    m = dsp.length(0.8, rate)
    pitch = dsp.between(rng, 75, 150)
    t60 = rng.uniform(0.35, 0.7) / MEMBRANE_MODES
    glide = 1 + 0.35 * np.exp(-dsp.time_axis(m, rate) / 0.04)
    fundamental = np.sin(2 * np.pi * dsp.phase(pitch * glide, rate)) * dsp.decay(m, rate, t60[0])
    upper = dsp.modes(pitch * MEMBRANE_MODES[1:], t60[1:], 0.5 / np.arange(1, 7), m, rate)
    stick = dsp.band_noise(rng, m, rate, 300, 3500, order=1) * dsp.decay(m, rate, 0.06)
    for onset in dsp.onset_times(rng, count, seconds, jitter=0.03):
        beat = fundamental + upper + rng.uniform(0.2, 0.4) * stick
        dsp.place(out, beat, onset, rate, rng.uniform(0.7, 1.0))
    return dsp.finish(out, rate)


def pluck(rng: Generator, pitch: float, n: int, rate: int, *, brightness: float) -> dsp.Signal:
    """Karplus & Strong (1983): a burst of noise runs round a loop that averages neighbours.

    The loop is run one period at a time, so that its cost is one small array operation a period.
    """
    period = max(2, round(rate / pitch - 0.5))
    loss = 10 ** (-3 / (2.5 * pitch))  # 60 dB in 2.5 s, on top of what the averaging takes
    string = signal.lfilter([brightness], [1, brightness - 1], rng.uniform(-1, 1, period))
    string -= string.mean()
    out = np.empty((n // period + 1, period))
    before = 0.0
    for turn in range(len(out)):
        out[turn] = string
        shifted = np.concatenate([[before], string[:-1]])
        before = string[-1]
        string = loss * 0.5 * (string + shifted)
    return out.ravel()[:n]


def guitar(rng: Generator, seconds: float, count: int, rate: int) -> Sound:
    """Plucked strings over the resonances of a guitar body."""
    n = dsp.length(seconds, rate)
    strings = np.zeros(n)
    root = dsp.between(rng, 140, 240)
    for onset in dsp.onset_times(rng, count, seconds, tail=NOTE_TAIL, jitter=0.06):
        m = dsp.length(min(2.0, seconds), rate)
        note = root * rng.choice(PENTATONIC)
        dsp.place(strings, pluck(rng, note, m, rate, brightness=rng.uniform(0.4, 0.8)), onset, rate)
    body = dsp.resonances(strings, [105, 205, 400], [25, 35, 80], [0.5, 0.5, 0.3], rate)
    return dsp.finish(strings + body, rate)


def piano_note(rng: Generator, pitch: float, n: int, rate: int) -> dsp.Signal:
    """Stiff strings: partials f_k = k f sqrt(1 + B k^2), the higher the shorter."""
    k = np.arange(1, min(14, dsp.harmonic_count(pitch, rate)) + 1)
    stiffness = 4e-4 * (pitch / 260) ** 1.2
    partials = k * pitch * np.sqrt(1 + stiffness * k**2)
    t60 = 4.0 * (260 / pitch) ** 0.5 / (1 + 0.35 * k)
    gains = k**-1.3 * np.abs(np.sin(np.pi * k / 8.3))  # hammer at about an eighth of the string
    pair = dsp.modes(partials, t60, gains, n, rate, attack=0.003)
    pair += dsp.modes(partials[:5] * 1.0007, 2 * t60[:5], 0.4 * gains[:5], n, rate, attack=0.003)
    thump = dsp.band_noise(rng, n, rate, 80, 600) * dsp.decay(n, rate, 0.08)
    return pair + 0.02 * thump


def piano(rng: Generator, seconds: float, count: int, rate: int) -> Sound:
    """Single notes of a scale, or chords of three, with the pedal down."""
    out = dsp.silence(seconds, rate)
    root = dsp.between(rng, 180, 420)
    m = dsp.length(min(2.5, seconds), rate)
    for onset in dsp.onset_times(rng, count, seconds, tail=NOTE_TAIL, jitter=0.04):
        dsp.place(out, piano_note(rng, root * rng.choice(PENTATONIC), m, rate), onset, rate)
    return dsp.finish(out, rate)


def flute(rng: Generator, seconds: float, count: int, rate: int) -> Sound:
    """Notes tongued one by one, with vibrato and breath."""
    out = dsp.silence(seconds, rate)
    root = dsp.between(rng, 500, 750)
    vibrato = rng.uniform(4.5, 6)
    period = seconds / count
    for onset in dsp.onset_times(rng, count, seconds, jitter=0.05):
        m = dsp.length(0.85 * period, rate)
        t = dsp.time_axis(m, rate)
        wobble = np.sin(2 * np.pi * vibrato * t) * np.minimum(1, t / 0.3)
        cycles = dsp.phase(root * rng.choice(PENTATONIC) * (1 + 0.006 * wobble), rate)
        tone = dsp.harmonics(cycles, [1, 0.45, 0.2, 0.08, 0.03]) * (1 + 0.15 * wobble)
        breath = 0.05 * dsp.band_noise(rng, m, rate, 900, 5000)
        dsp.place(out, (tone + breath) * dsp.swell(m, rate, 0.06, 0.08), onset, rate)
    return dsp.finish(out, rate)


KINDS = (
    EventKind(
        drum,
        ("Drum", "Percussion", *MUSIC),
        (
            Clause("a drum", "is beaten", "being beaten"),
            Clause("someone", "beats", "beating", "a drum"),
            Clause("a drummer", "hits", "hitting", "a drum"),
            Clause("a drum", "is struck", "being struck", "with a stick"),
        ),
        (
            Nominal("beat", "beats", "of a drum"),
            Nominal("drum beat", "drum beats"),
            Nominal("hit", "hits", "on a drum"),
            Nominal("stroke", "strokes", "on a drum"),
        ),
        ("booming", "deep"),
        counts=(2, 12),
        period=(0.3, 0.9),
    ),
    EventKind(
        guitar,
        ("Guitar", "Acoustic guitar", "Plucked string instrument", *MUSIC),
        (
            Clause("someone", "plays", "playing", "on a guitar", ("note", "notes")),
            Clause("a guitarist", "plucks", "plucking", "", ("note", "notes")),
            Clause("someone", "plucks", "plucking", "on a guitar", ("string", "strings")),
            Clause("a guitar", "plays", "playing", "", ("note", "notes")),
            Clause("an acoustic guitar", "is plucked", "being plucked"),
        ),
        (
            Nominal("guitar note", "guitar notes"),
            Nominal("plucked note", "plucked notes", "on a guitar"),
            Nominal("note", "notes", "of an acoustic guitar"),
        ),
        ("plucked",),
        counts=(3, 12),
        period=(0.3, 0.8),
        rings_seconds=NOTE_TAIL,
    ),
    EventKind(
        piano,
        ("Piano", "Keyboard (musical)", *MUSIC),
        (
            Clause("someone", "plays", "playing", "on a piano", ("note", "notes")),
            Clause("a pianist", "plays", "playing", "", ("note", "notes")),
            Clause("a piano", "plays", "playing", "", ("note", "notes")),
            Clause("someone", "strikes", "striking", "on a piano", ("key", "keys")),
            Clause("a person", "presses", "pressing", "on a piano", ("key", "keys")),
        ),
        (
            Nominal("piano note", "piano notes"),
            Nominal("note", "notes", "on a piano"),
            Nominal("note", "notes", "of a piano"),
        ),
        ("clear", "melodious"),
        counts=(3, 12),
        period=(0.35, 0.9),
        rings_seconds=NOTE_TAIL,
    ),
    EventKind(
        flute,
        ("Flute", "Wind instrument, woodwind instrument", *MUSIC),
        (
            Clause("someone", "plays", "playing", "on a flute", ("note", "notes")),
            Clause("a flutist", "plays", "playing", "", ("note", "notes")),
            Clause("a flute", "plays", "playing", "", ("note", "notes")),
            Clause("a musician", "blows", "blowing", "on a flute", ("note", "notes")),
        ),
        (
            Nominal("flute note", "flute notes"),
            Nominal("note", "notes", "of a flute"),
            Nominal("tone", "tones", "of a flute"),
        ),
        ("airy", "breathy"),
        counts=(2, 10),
        period=(0.4, 1.0),
    ),
)
