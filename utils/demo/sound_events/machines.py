"""Machines that run on: engines, rotors, motors, clockwork, keyboards."""

import numpy as np
from scipy import signal

from utils.demo.sound_events import dsp
from utils.demo.sound_events.kind import Clause, EventKind, Generator, Nominal, Sound

IDLE_RPM = (620.0, 950.0)
CYLINDERS = 4
BLOW_SECONDS = 0.012  # in which the noise of a firing dies away
ROTOR_HZ = (10.0, 17.0)  # blade passages: 2-4 blades at 240-400 turns a minute
CHAINSAW_RPM = (6500.0, 9500.0)  # a two-stroke fires once a turn
CLOCK_BEATS = (0.25, 0.33, 0.5, 0.6)  # seconds between ticks: alarm clocks to wall clocks


def engine(rng: Generator, seconds: float, count: int, rate: int) -> Sound:
    """Four-stroke at idle: two firings a turn, no cylinder quite like the next."""
    n = dsp.length(seconds, rate)
    firing = dsp.between(rng, *IDLE_RPM) / 60 * CYLINDERS / 2
    steps = 1 / firing * rng.uniform(0.96, 1.04, int(seconds * firing * 1.05) + 1)
    times = np.cumsum(steps)
    cylinder = rng.uniform(0.6, 1.0, CYLINDERS)
    strength = cylinder[np.arange(len(times)) % CYLINDERS] * rng.uniform(0.85, 1.15, len(times))
    pulses = dsp.impulses(times, strength, n, rate)
    pipe = dsp.between(rng, 60, 100)
    exhaust = dsp.resonances(
        pulses, pipe * np.array([1, 2.3, 4.6, 9.5]), [25, 60, 120, 300], [1, 0.9, 0.7, 0.5], rate
    )
    blow = signal.lfilter([1.0], [1.0, -np.exp(-1 / (BLOW_SECONDS * rate))], pulses)
    valves = dsp.band_noise(rng, n, rate, 700, 4000, tilt=0.6) * blow / np.max(blow)
    return dsp.finish(exhaust / np.std(exhaust) + rng.uniform(0.25, 0.6) * valves, rate)


def helicopter(rng: Generator, seconds: float, count: int, rate: int) -> Sound:
    """Blade slap: noise and thumps at the blade passing rate, over the whine of a turbine."""
    n = dsp.length(seconds, rate)
    turn = dsp.between(rng, *ROTOR_HZ) * dsp.wander(rng, n, rate, 0.5, 0.98, 1.02)
    cycles = dsp.phase(turn, rate)
    slap = np.exp(-12 * (cycles % 1.0)) + 0.25 * np.exp(-6 * ((cycles + 0.5) % 1.0))
    body = dsp.band_noise(rng, n, rate, 70, dsp.between(rng, 500, 1100), tilt=0.3)
    thump = dsp.harmonics(cycles, [0, 0.3, 0.6, 0.8, 0.8, 0.6, 0.4, 0.2])
    whine_hz = dsp.between(rng, 1500, 2800) * turn / turn[0]
    whine = dsp.harmonics(dsp.phase(whine_hz, rate), [1, 0.3])
    out = body * (0.15 + 1.6 * slap) + 0.25 * thump + rng.uniform(0.02, 0.07) * whine
    return dsp.finish(out * dsp.wander(rng, n, rate, 0.2, 0.6, 1.0), rate)


def chainsaw(rng: Generator, seconds: float, count: int, rate: int) -> Sound:
    """Two-stroke that is revved up for each cut: a rasping buzz, one pulse a turn."""
    n = dsp.length(seconds, rate)
    full = dsp.between(rng, *CHAINSAW_RPM) / 60
    throttle = np.clip(dsp.wander(rng, n, rate, 1.1, -0.3, 1.5), 0, 1)
    pitch = full * (0.55 + 0.45 * throttle) * dsp.wander(rng, n, rate, 50, 0.97, 1.03)
    pulse = np.exp(-5 * (dsp.phase(pitch, rate) % 1.0)) - 0.2
    muffler = dsp.between(rng, 800, 1300)
    rasp = dsp.resonances(
        pulse * (1 + 0.35 * rng.standard_normal(n)),
        [2.2 * full, muffler, 2.2 * muffler, 4 * muffler],
        [150, 300, 600, 1500],
        [0.8, 1.0, 0.9, 0.5],
        rate,
    )
    chain = dsp.band_noise(rng, n, rate, 2500, 8000) * throttle
    return dsp.finish((rasp / np.std(rasp) + 0.12 * chain) * (0.45 + 0.55 * throttle), rate)


def vacuum(rng: Generator, seconds: float, count: int, rate: int) -> Sound:
    """Airflow noise with the tone of a fast brush motor and its harmonics."""
    n = dsp.length(seconds, rate)
    air = dsp.band_noise(rng, n, rate, 250, dsp.between(rng, 2500, 6000), order=1)
    hose = dsp.resonances(air, [dsp.between(rng, 500, 900)], [200], [2.5], rate)
    start = dsp.time_axis(n, rate) / rng.uniform(0.3, 1.0)
    motor = dsp.between(rng, 380, 620) * (1 - 0.5 * np.exp(-3 * start))
    motor *= dsp.wander(rng, n, rate, 1.0, 0.995, 1.005)
    tone = dsp.harmonics(dsp.phase(motor, rate), [1, 0.6, 0.25, 0.35, 0.1, 0.15])
    return dsp.finish((air + hose + rng.uniform(0.5, 1.1) * tone) * (1 - np.exp(-4 * start)), rate)


def clock(rng: Generator, seconds: float, count: int, rate: int) -> Sound:
    """Escapement: ticks and tocks of slightly different pitch at a strict beat."""
    out = dsp.silence(seconds, rate)
    beat = rng.choice(CLOCK_BEATS) * rng.uniform(0.97, 1.03)
    m = dsp.length(0.06, rate)
    base = dsp.between(rng, 2200, 3800)
    strokes = []
    for shift in (1.0, rng.uniform(0.78, 0.9)):
        ringing = base * shift * np.array([0.42, 1.0, 1.47, 2.1])
        tick = dsp.modes(ringing, [0.05, 0.03, 0.025, 0.015], [0.4, 1.0, 0.7, 0.5], m, rate)
        tick += 0.4 * dsp.band_noise(rng, m, rate, 2000, 8000) * dsp.decay(m, rate, 0.006)
        strokes.append(dsp.normalise(tick))
    for index, time in enumerate(np.arange(dsp.FIRST_ONSET, seconds, beat)):
        dsp.place(out, strokes[index % 2], time, rate, rng.uniform(0.9, 1.0))
    return dsp.finish(out, rate)


def keyboard(rng: Generator, seconds: float, count: int, rate: int) -> Sound:
    """Bursts of key strokes: a clack going down, a lighter one coming up."""
    out = dsp.silence(seconds, rate)
    plate = dsp.between(rng, 1500, 2600)
    noise = dsp.band_noise(rng, dsp.length(1.0, rate), rate, 1200, 7000, order=1)
    speed = dsp.between(rng, 5, 9)
    time = dsp.FIRST_ONSET
    while time < seconds:
        m = dsp.length(0.05, rate)
        space = rng.uniform() < 0.12
        body = (0.55 if space else 1.0) * plate * rng.uniform(0.85, 1.15)
        start = rng.integers(len(noise) - m)
        clack = noise[start : start + m] * dsp.decay(m, rate, 0.018)
        clack += dsp.modes(
            [0.22 * body, body, 1.9 * body], [0.05, 0.03, 0.02], [0.6, 0.7, 0.4], m, rate
        )
        dsp.place(out, clack, time, rate, rng.uniform(0.5, 1.0))
        dsp.place(out, clack, time + rng.uniform(0.06, 0.11), rate, rng.uniform(0.15, 0.3))
        pause = rng.uniform(0.35, 0.8) if rng.uniform() < 0.07 else 0.0
        time += rng.gamma(6.0, 1 / (6.0 * speed)) + pause
    return dsp.finish(out, rate)


KINDS = (
    EventKind(
        engine,
        ("Idling", "Engine", "Vehicle", "Medium engine (mid frequency)"),
        (
            Clause("an engine", "idles", "idling"),
            Clause("a car engine", "is idling", "idling"),
            Clause("a motor", "runs", "running", "at idle speed"),
            Clause("the engine of a truck", "idles", "idling"),
            Clause("a vehicle", "idles", "idling", "in a parking lot"),
        ),
        (
            Nominal("rumble", tail="of an idling engine", article="the"),
            Nominal("idling engine", article="a"),
            Nominal("chugging", tail="of a motor", article="the"),
            Nominal("engine noise", article=""),
        ),
        ("low", "rough", "chugging"),
        ("roughly",),
        sustained=True,
    ),
    EventKind(
        helicopter,
        ("Helicopter", "Aircraft", "Vehicle"),
        (
            Clause("a helicopter", "hovers", "hovering"),
            Clause("a helicopter", "is flying", "flying", "overhead"),
            Clause("a chopper", "flies", "flying", "over the area"),
            Clause("the rotor blades of a helicopter", "whir", "whirring"),
            Clause("a helicopter", "circles", "circling", "above"),
        ),
        (
            Nominal("chopping", tail="of helicopter blades", article="the"),
            Nominal("throbbing", tail="of a helicopter", article="the"),
            Nominal("helicopter", tail="in the air"),
            Nominal("helicopter noise", article=""),
        ),
        ("thumping", "throbbing"),
        sustained=True,
    ),
    EventKind(
        chainsaw,
        ("Chainsaw", "Light engine (high frequency)", "Engine"),
        (
            Clause("a chainsaw", "revs", "revving", "up and down"),
            Clause("a chainsaw", "roars", "roaring"),
            Clause("someone", "cuts", "cutting", "wood with a chainsaw"),
            Clause("a chainsaw", "is being used", "being used", "in the woods"),
            Clause("a chain saw", "buzzes", "buzzing", "through a log"),
        ),
        (
            Nominal("revving", tail="of a chainsaw", article="the"),
            Nominal("chainsaw noise", article=""),
            Nominal("roar", tail="of a chainsaw", article="the"),
            Nominal("buzz", tail="of a chain saw", article="the"),
        ),
        ("rasping", "buzzing"),
        sustained=True,
    ),
    EventKind(
        vacuum,
        ("Vacuum cleaner",),
        (
            Clause("a vacuum cleaner", "hums", "humming"),
            Clause("someone", "is vacuuming", "vacuuming", "a carpet"),
            Clause("a vacuum cleaner", "is running", "running", "in a room"),
            Clause("a vacuum", "whirs", "whirring"),
            Clause("a floor", "is vacuumed", "being vacuumed"),
        ),
        (
            Nominal("hum", tail="of a vacuum cleaner", article="the"),
            Nominal("vacuum cleaner noise", article=""),
            Nominal("whir", tail="of a vacuum", article="the"),
            Nominal("drone", tail="of a vacuum cleaner", article="the"),
        ),
        ("droning", "monotonous"),
        ("steadily", "monotonously"),
        sustained=True,
    ),
    EventKind(
        clock,
        ("Tick-tock", "Tick", "Clock"),
        (
            Clause("a clock", "ticks", "ticking"),
            Clause("a clock", "is ticking", "ticking", "on a wall"),
            Clause("a mechanical clock", "ticks", "ticking", "away"),
            Clause("an old clock", "goes", "going", "tick-tock"),
            Clause("a clock", "ticks and tocks", "ticking and tocking"),
        ),
        (
            Nominal("ticking", tail="of a clock", article="the"),
            Nominal("tick-tock", tail="of a clock", article="the"),
            Nominal("ticking clock"),
            Nominal("ticks", tail="of a clock", article="the", is_plural=True),
        ),
        ("steady", "regular", "rhythmic"),
        ("steadily", "at a regular pace"),
        sustained=True,
    ),
    EventKind(
        keyboard,
        ("Computer keyboard", "Typing"),
        (
            Clause("someone", "types", "typing", "on a keyboard"),
            Clause("a person", "is typing", "typing", "on a computer"),
            Clause("keys", "clack", "clacking", "on a keyboard"),
            Clause("a text", "is typed", "being typed", "on a keyboard"),
            Clause("an office worker", "types", "typing", "at a computer"),
        ),
        (
            Nominal("typing", tail="on a keyboard", article=""),
            Nominal("clacking", tail="of a keyboard", article="the"),
            Nominal("keystrokes", article="", is_plural=True),
            Nominal("keyboard typing", article=""),
        ),
        ("quick", "clicking"),
        ("quickly", "busily"),
        sustained=True,
    ),
)
