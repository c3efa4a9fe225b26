"""Synthesised sound events: 47 kinds, each an AudioSet class with a physical model and its words.

`EVENT_KINDS` maps names to `EventKind`. A kind's ``synthesise(rng, seconds, count, sample_rate)``
returns float32 mono of exactly ``round(seconds * sample_rate)`` samples at any rate from 16 kHz to
48 kHz, and draws only from the generator it is given.
"""

from utils.demo.sound_events import (
    animals,
    bells,
    birds,
    electronic,
    horns,
    impacts,
    machines,
    music,
    weather,
)
from utils.demo.sound_events.kind import Clause, EventKind, Nominal

__all__ = ["EVENT_KINDS", "Clause", "EventKind", "Nominal"]

EVENT_KINDS: dict[str, EventKind] = {
    kind.name: kind
    for module in (weather, animals, birds, machines, electronic, horns, bells, music, impacts)
    for kind in module.KINDS
}
