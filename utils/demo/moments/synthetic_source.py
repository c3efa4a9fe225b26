"""Recordings of synthetic events over synthetic backgrounds.

The lengths of the events and how often they recur are similar to those in CASTELLA, whose moments
last 4 s in the middle, a third of them at most 2 s, and of whose queries half have one window.
"""

from dataclasses import dataclass

import numpy as np

from utils.datasets.splits import DEMO_MANIFEST
from utils.demo.moments.recipe import (
    BACKGROUND_DB,
    FOREGROUND_DB,
    Placed,
    Samples,
    audible,
    looped,
    mix,
    rms,
)
from utils.demo.moments.recording import SAMPLE_RATE, Query, Recording, window
from utils.demo.scenes.captions import describe_event
from utils.demo.scenes.scene import Event
from utils.demo.sound_events import EVENT_KINDS, EventKind

FIRST_STREAM = 6  # of random numbers; the layouts of the other demo sets have those from 0 to 5
RECORDING_SECONDS = (60, 300)  # mostly short ones, because tagging takes the time
SECONDS_PER_EVENT = 30
QUERIES_PER_EVENT = 3
ONCE_SHARE = 0.5  # of the events; the others recur
RECURRENCES = 6  # of those, on average
MOST_RECURRENCES = 12
MOST_COVERED = 0.5  # of a recording, by events
LENGTH_SHARES = (0.0, 0.14, 0.35, 0.5, 0.62, 0.88, 1.0)
LENGTH_SECONDS = (0.8, 1.5, 3.0, 5.2, 6.8, 14.0, 26.0)  # up to which these shares of events last
LONGEST_SHARE = 0.25  # of a recording that one event lasts
PAUSE_SECONDS = 0.5  # between two events, at least
BACKGROUND_SECONDS = 20  # that are repeated
TWO_BACKGROUNDS_SHARE = 0.4
# Kinds without pauses: crowds, traffic, hum, weather, water, insects
BACKGROUNDS = ("applause", "engine", "vacuum", "rain", "wind", "stream", "waves", "cricket")
PLAIN_DB = -20.0  # a level that captions do not mention

BLOCK_SECONDS, BELOW_DB = 0.1, 15.0  # what is cut off at both ends of an event
SHORTEST_SECONDS = 0.8  # of a window: that of a click includes the quiet after it


@dataclass(frozen=True)
class SyntheticSource:
    """Makes recordings from the kinds of sound events of the demo sets."""

    statement: str = "Synthetic sound, computed by the demo set generator; no recording was used"
    version: str = "2"  # to be raised with every change of the sounds, queries or windows
    manifest: str = DEMO_MANIFEST
    splits: tuple[str, ...] = ("train", "val", "test")

    def make(self, seed: int, split: str, index: int) -> Recording:
        """Make recording `index` of a split, which depends on nothing but the arguments."""
        rng = np.random.default_rng([seed, FIRST_STREAM + self.splits.index(split), index])
        shortest, longest = RECORDING_SECONDS
        seconds = round(shortest * (longest / shortest) ** rng.uniform() ** 3)
        kinds = [EVENT_KINDS[name] for name in rng.permutation(sorted(EVENT_KINDS)).tolist()]
        behind = _take_backgrounds(rng, kinds)
        events, times = _draw_events(rng, kinds, seconds)
        background = _render_background(rng, behind, seconds)
        order = rng.permutation(np.repeat(np.arange(len(events)), times)).tolist()
        sounds = [_render(rng, events[which]) for which in order]
        starts = _starts(rng, [len(sound) for sound in sounds], len(background))
        levels = rng.uniform(*FOREGROUND_DB, len(events)).round(2).tolist()
        placed = [
            Placed(start, sound, levels[which])
            for which, start, sound in zip(order, starts, sounds, strict=True)
        ]
        windows: list[list[tuple[float, float]]] = [[] for _ in events]
        for which, sound in zip(order, placed, strict=True):
            windows[which].append(window(sound.start, len(sound.samples)))
        queries = [
            Query(text, *of_event)
            for event, *of_event in zip(events, windows, levels, strict=True)
            for text in describe_event(event, rng, QUERIES_PER_EVENT)
        ]
        return Recording(mix(background, float(rng.uniform(*BACKGROUND_DB)), placed), queries)


def _take_backgrounds(rng: np.random.Generator, kinds: list[EventKind]) -> list[EventKind]:
    """Remove one or two kinds from `kinds`, and return them."""
    wanted = 1 + (rng.uniform() < TWO_BACKGROUNDS_SHARE)
    behind = [kind for kind in kinds if kind.name in BACKGROUNDS][:wanted]
    for kind in behind:
        kinds.remove(kind)
    return behind


def _draw_events(
    rng: np.random.Generator, kinds: list[EventKind], seconds: int
) -> tuple[list[Event], list[int]]:
    """Draw different events, and how often each occurs; removes their kinds from `kinds`."""
    events, times = [], []
    for _ in range(max(2, round(seconds / SECONDS_PER_EVENT))):
        length = np.exp(np.interp(rng.uniform(), LENGTH_SHARES, np.log(LENGTH_SECONDS)))
        length = min(float(length), LONGEST_SHARE * seconds)
        kind = next(kind for kind in kinds if _can_last(kind, length))
        kinds.remove(kind)
        events.append(_draw_event(rng, kind, length))
        again = min(1 + rng.geometric(1 / (RECURRENCES - 1)), MOST_RECURRENCES)
        times.append(1 if rng.uniform() < ONCE_SHARE else int(again))
    lengths = np.array([event.seconds for event in events])
    while (covered := lengths * times).sum() > MOST_COVERED * seconds:
        times[int(covered.argmax())] -= 1
    heard = [which for which, count in enumerate(times) if count]
    return [events[which] for which in heard], [times[which] for which in heard]


def _counts(kind: EventKind, length: float) -> range:
    """Return the counts with which an event of a countable kind can last `length` seconds."""
    ringing = length - kind.rings_seconds
    fewest, most = int(np.ceil(ringing / kind.period[1])), int(ringing / kind.period[0])
    return range(max(fewest, kind.counts[0]), min(most, kind.counts[1]) + 1)


def _can_last(kind: EventKind, length: float) -> bool:
    if kind.countable:
        return len(_counts(kind, length)) > 0
    return kind.sustained or length <= kind.seconds[1]


def _draw_event(rng: np.random.Generator, kind: EventKind, length: float) -> Event:
    count = int(rng.choice(_counts(kind, length))) if kind.countable else 1
    return Event(kind, 0.0, length, count, PLAIN_DB)


def _render(rng: np.random.Generator, event: Event) -> Samples:
    """Synthesise one occurrence of an event, cut to what is heard."""
    sound = event.kind.synthesise(rng, event.seconds, event.count, SAMPLE_RATE)
    heard = audible(sound, SAMPLE_RATE, block_seconds=BLOCK_SECONDS, below_db=BELOW_DB)
    quiet = max(0, round(SHORTEST_SECONDS * SAMPLE_RATE) - len(heard))
    return np.pad(heard, (0, quiet))


def _render_background(rng: np.random.Generator, kinds: list[EventKind], seconds: int) -> Samples:
    out = np.zeros(seconds * SAMPLE_RATE, np.float32)
    for kind in kinds:
        sound = kind.synthesise(rng, BACKGROUND_SECONDS, 1, SAMPLE_RATE)
        out += looped(sound / np.float32(rms(sound)), len(out), SAMPLE_RATE)
    return out


def _starts(rng: np.random.Generator, lengths: list[int], n: int) -> list[int]:
    """Place sounds one after the other in `n` samples, with the gaps of a Poisson process."""
    pauses = np.full(len(lengths), round(PAUSE_SECONDS * SAMPLE_RATE))
    gaps = rng.exponential(size=len(lengths) + 1)  # scaled so that all sounds fit
    waits = pauses + np.floor(gaps[:-1] / gaps.sum() * (n - sum(lengths) - pauses.sum())).astype(
        int
    )
    return (np.cumsum(waits + lengths) - lengths).tolist()
