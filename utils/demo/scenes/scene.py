"""A scene: which sound events, when, how often, how loud; drawing one, and rendering it.

Shape letters: N samples, C channels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from utils.demo.sound_events import EVENT_KINDS, EventKind, dsp

Layout = Literal["single", "sequence", "background"]

DURATION_SECONDS = (3.0, 14.0)
MOST_EVENTS = 3
EVENT_COUNT_SHARES = (0.3, 0.5, 0.2)  # of clips with one, two and three events
BACKGROUND_SHARE = 0.75  # of the clips that could have a sustained background
ADDED_BACKGROUND_SHARE = 0.3  # of two-event clips of which neither could be one
GAP_SECONDS = (0.15, 0.7)
MARGIN_SECONDS = (0.05, 0.8)
SHORTEST_EVENT = 1.5

# Level of the loudest 50 ms, in dB relative to full scale
LOUD_DB, QUIET_DB = -15.0, -27.0
LEVELS_DB = {"loud": (LOUD_DB, -11.0), "plain": (-22.0, -17.0), "quiet": (-34.0, QUIET_DB)}
LEVEL_SHARES = (0.3, 0.45, 0.25)
BACKGROUND_DB = (-34.0, -27.0)
FOREGROUND_DB = (-20.0, -12.0)
DISTANT_SHARE = 0.5  # of the quiet events
FLOOR_DB = (-72.0, -52.0)
LEVEL_FRAME_SECONDS = 0.05
HIGHEST_PEAK = 0.97
FADE_SECONDS = (0.1, 0.4)  # of textures that begin or end within a clip
ROOM_SHARE = 0.6
ROOM_T60 = (0.15, 0.8)
EAR_DELAY = 0.0006  # s, the largest difference of arrival between two ears


@dataclass(frozen=True)
class Event:
    """One sound event of a scene.

    Attributes
    ----------
    kind : EventKind
    onset, seconds : float
        Start and duration in seconds.
    count : int
        Repeats (barks, strokes); 1 for kinds that are not countable.
    level_db : float
        RMS of the loudest 50 ms relative to full scale.
    distant : bool
        Heard from afar: dull and reverberant.

    """

    kind: EventKind
    onset: float
    seconds: float
    count: int
    level_db: float
    distant: bool = False

    @property
    def period(self) -> float:
        """Seconds from one repeat to the next."""
        return max(self.seconds - self.kind.rings_seconds, self.seconds / 3) / self.count


@dataclass(frozen=True)
class Scene:
    """What is heard in one clip; a background is the first of the events, which are in order.

    Attributes
    ----------
    duration : float
        Seconds.
    events : tuple of Event
    layout : {"single", "sequence", "background"}

    """

    duration: float
    events: tuple[Event, ...]
    layout: Layout


def _draw_extent(rng: np.random.Generator, kind: EventKind, limit: float) -> tuple[float, int]:
    """Draw the seconds (at most `limit`) and the count of an event."""
    if not kind.countable:
        low = min(max(kind.seconds[0], SHORTEST_EVENT), limit)
        return float(rng.uniform(low, min(kind.seconds[1], limit))), 1
    fewest, most = kind.counts
    period = dsp.between(rng, *kind.period)
    if fewest * period + kind.rings_seconds > limit:
        period = kind.period[0]
    most = min(most, max(1, int((limit - kind.rings_seconds) / period)))
    fewest = min(fewest, most)
    count = int(rng.integers(fewest, most + 1, 2).min())  # small counts are the common ones
    return min(limit, count * period + kind.rings_seconds), count


def _draw_level(rng: np.random.Generator) -> tuple[float, bool]:
    """Draw the level in dB of a foreground event, and whether it is distant."""
    loudness = rng.choice(list(LEVELS_DB), p=LEVEL_SHARES)
    distant = loudness == "quiet" and rng.uniform() < DISTANT_SHARE
    return float(rng.uniform(*LEVELS_DB[loudness])), bool(distant)


def _pick_kinds(
    rng: np.random.Generator, kinds: Mapping[str, EventKind], include: Sequence[str]
) -> list[EventKind]:
    """Return the included kinds, or one to three random ones, without repetition."""
    names = list(dict.fromkeys(include))
    if not names:
        wanted = min(len(kinds), 1 + rng.choice(MOST_EVENTS, p=EVENT_COUNT_SHARES))
        names = [str(name) for name in rng.choice(sorted(kinds), wanted, replace=False)]
    return [kinds[name] for name in names]


def _pick_background(
    rng: np.random.Generator, kinds: Mapping[str, EventKind], chosen: list[EventKind]
) -> EventKind | None:
    """Take a sustained kind out of `chosen`, or add one, as background of the rest."""
    sustained = [kind for kind in chosen if kind.sustained]
    if sustained and rng.uniform() < BACKGROUND_SHARE:
        background = sustained[rng.integers(len(sustained))]
        chosen.remove(background)
        return background
    others = sorted(name for name, kind in kinds.items() if kind.sustained and kind not in chosen)
    room = not sustained and others and len(chosen) < MOST_EVENTS
    if room and rng.uniform() < ADDED_BACKGROUND_SHARE:
        return kinds[str(rng.choice(others))]
    return None


def sample_scene(
    rng: np.random.Generator,
    *,
    kinds: Mapping[str, EventKind] = EVENT_KINDS,
    include: Sequence[str] = (),
) -> Scene:
    """Draw a scene of one to three different events in 3 to 14 seconds.

    Parameters
    ----------
    kinds : mapping of str to EventKind
        The kinds to choose from.
    include : sequence of str
        Names of the kinds to use, at most three; drawn at random when empty. Two included kinds
        may get a third, sustained one as their background.

    Raises
    ------
    KeyError
        If an included name is not in `kinds`.
    ValueError
        If `kinds` is empty or more than three are included.

    """
    if not kinds or len(include) > MOST_EVENTS:
        raise ValueError(
            f"a scene has 1 to {MOST_EVENTS} events: got {len(kinds)} kinds to choose from and "
            f"{len(include)} to include; pass a non-empty mapping and at most {MOST_EVENTS} names"
        )
    chosen = _pick_kinds(rng, kinds, include)
    background = _pick_background(rng, kinds, chosen) if len(chosen) > 1 else None
    before, after = rng.uniform(*MARGIN_SECONDS, 2)
    gaps = rng.uniform(*GAP_SECONDS, len(chosen))
    limit = (DURATION_SECONDS[1] - before - after - gaps[1:].sum()) / len(chosen)

    events = []
    onset = before
    for kind, gap in zip(chosen, gaps, strict=True):
        seconds, count = _draw_extent(rng, kind, limit)
        if background is None:
            level, distant = _draw_level(rng)
        else:
            level, distant = float(rng.uniform(*FOREGROUND_DB)), False
        events.append(Event(kind, onset, seconds, count, level, distant))
        onset += seconds + gap
    end = events[-1].onset + events[-1].seconds + after
    duration = float(np.clip(end, *DURATION_SECONDS))
    if background is not None:
        level = float(rng.uniform(*BACKGROUND_DB))
        events.insert(0, Event(background, 0.0, duration, 1, level))
    layout: Layout = "background" if background else "single" if len(events) == 1 else "sequence"
    return Scene(duration, tuple(events), layout)


def scene_tags(scene: Scene) -> tuple[str, ...]:
    """Return the AudioSet display names of all events of `scene`, sorted, each once."""
    return tuple(sorted({tag for event in scene.events for tag in event.kind.tags}))


def loudest_level(x: NDArray[np.floating], rate: int) -> float:
    """Return the RMS of the loudest 50 ms frame of `x` (N,), or of all of it when shorter."""
    frame = min(len(x), dsp.length(LEVEL_FRAME_SECONDS, rate))
    frames = x[: len(x) // frame * frame].reshape(-1, frame)
    return float(np.sqrt(np.mean(np.square(frames, dtype=np.float64), axis=1).max()))


def _render_event(rng: np.random.Generator, event: Event, scene: Scene, rate: int) -> dsp.Signal:
    """Synthesise one event at its level, with faded ends where a texture begins or ends."""
    n = dsp.length(scene.duration, rate)
    start = min(round(event.onset * rate), n - 1)
    seconds = min(event.seconds, (n - start) / rate)
    sound = event.kind.synthesise(rng, seconds, event.count, rate).astype(np.float64)
    if event.kind.sustained:
        rise = rng.uniform(*FADE_SECONDS) if start > 0 else 0.0
        fall = rng.uniform(*FADE_SECONDS) if start + len(sound) < n - 1 else 0.0
        sound *= dsp.swell(len(sound), rate, rise, fall)
    if event.distant:
        sound = dsp.band_filter(sound, None, rng.uniform(1800, 3500), rate)
    return sound * 10 ** (event.level_db / 20) / max(loudest_level(sound, rate), 1e-9)


def _spread(rng: np.random.Generator, sound: dsp.Signal, channels: int, rate: int) -> dsp.Signal:
    """Pan `sound` (N,) to (N, C): louder and earlier on the side where it comes from."""
    if channels == 1:
        return sound[:, None]
    side = rng.uniform(-1, 1)
    gains = np.sqrt(2) * np.array([np.cos(np.pi / 4 * (1 + side)), np.sin(np.pi / 4 * (1 + side))])
    delay = round(abs(side) * EAR_DELAY * rate)
    late = np.concatenate([np.zeros(delay), sound[: len(sound) - delay]])
    left, right = (late, sound) if side > 0 else (sound, late)
    return np.column_stack([gains[0] * left, gains[1] * right])


def _room(rng: np.random.Generator, sound: dsp.Signal, channels: int, rate: int) -> dsp.Signal:
    """Late reverberation of `sound` (N,), decorrelated between the channels: (N, C)."""
    t60 = dsp.between(rng, *ROOM_T60)
    n = dsp.length(t60, rate)
    tails = []
    for _ in range(channels):
        tail = dsp.band_noise(rng, n, rate, 150, 5000, order=1) * dsp.decay(
            n, rate, t60, attack=0.01
        )
        tail /= np.sqrt(np.sum(tail**2))
        tails.append(signal.oaconvolve(sound, tail)[: len(sound)])
    return np.column_stack(tails)


def render_scene(
    scene: Scene,
    rng: np.random.Generator,
    sample_rate: int,
    *,
    channels: int = 1,
    noise_db: tuple[float, float] = FLOOR_DB,
) -> NDArray[np.float32]:
    """Render a scene: events at their levels, a little room, a faint noise floor, no clipping.

    Parameters
    ----------
    rng : numpy.random.Generator
        All randomness comes from it.
    sample_rate : int
        Hz, 16000 to 48000.
    channels : {1, 2}
        Two channels differ as two microphones do: in level, arrival, reverberation and noise.
    noise_db : tuple of float
        The lowest and highest level of the noise.

    Returns
    -------
    ndarray of float32, (N,) for one channel or (N, 2)
        N = round(duration * sample_rate); peak at most 0.97.

    Raises
    ------
    ValueError
        If `channels` is neither 1 nor 2.

    """
    if channels not in (1, 2):
        raise ValueError(f"channels must be 1 or 2, got {channels}")
    n = dsp.length(scene.duration, sample_rate)
    mix = np.zeros((n, channels))
    wet = np.zeros(n)
    in_room = rng.uniform() < ROOM_SHARE
    near_wetness = 10 ** (rng.uniform(-28, -14) / 20) if in_room else 0.0
    for event in scene.events:
        sound = _render_event(rng, event, scene, sample_rate)
        start = min(round(event.onset * sample_rate), n - 1)
        placed = slice(start, start + len(sound))
        wet[placed] += sound * (rng.uniform(0.4, 0.8) if event.distant else near_wetness)
        mix[placed] += _spread(rng, sound, channels, sample_rate)
    if wet.any():
        mix += _room(rng, wet, channels, sample_rate)
    floor = 10 ** (rng.uniform(*noise_db) / 20)
    for channel in range(channels):
        mix[:, channel] += floor * dsp.band_noise(rng, n, sample_rate, 60, 12000, tilt=0.4)
    mix *= min(1.0, HIGHEST_PEAK / np.max(np.abs(mix)))
    return (mix if channels > 1 else mix[:, 0]).astype(np.float32)
