"""English captions of a scene: what is heard, how, how often and in which order.

A caption fills one template. Its slots are ``{f0}`` (a finite clause about event 0: "a dog barks
twice"), ``{g0}`` (the same as a participle: "a dog barking twice"), ``{n0}`` (a noun phrase: "two
barks of a dog"), ``{v0}`` (a noun phrase and "can be heard") and words that agree with the noun
phrase before or after them: ``{is0}``, ``{comes0}``, ``{gives0}``, ``{breaks0}``. Every word that
qualifies an event follows from its count, period, duration, level or distance.
"""

import re
from collections import defaultdict

import numpy as np

from utils.demo.scenes.phrases import (
    ADJECTIVES,
    AGREEMENT,
    AMONG_OTHERS,
    BRIEFLY,
    FAR,
    FAST,
    LONG,
    LOUDLY,
    NEAR,
    NUMBERS,
    ONE_OVER_BACKGROUND,
    PREPOSITIONS,
    QUIETLY,
    REPEATEDLY,
    SINGLE,
    SLOWLY,
    THREE_IN_SEQUENCE,
    TWO_IN_SEQUENCE,
    TWO_OVER_BACKGROUND,
)
from utils.demo.scenes.scene import LOUD_DB, QUIET_DB, Event, Scene
from utils.demo.sound_events import Clause, Nominal

CAPTIONS = 5
WORDS = (6, 20)
QUERY_WORDS = (2, 12)
STRICT_TRIES, TRIES = 150, 400
PERIOD_SHARE = 0.94  # of captions end with a full stop, as most people's do
EXACT_SHARE = 0.55  # of mentions of a count give the number
MOST_COUNTED = 8  # beyond which nobody counts
LONG_SECONDS, SHORT_SECONDS = 7.0, 3.0
SLOW_SHARE, FAST_SHARE = 0.75, 0.25  # of the kind's range of periods, on a logarithmic scale
WIDE_RANGE = 1.7  # longest by shortest period from which on a tempo is worth a word
TEMPO_SECONDS = 0.6  # no period above it is rapid, none below it is slow
FEW, MANY = 4, 7
SLOT = re.compile(r"\{([a-z]+)(\d)\}")


def describe_scene(scene: Scene, rng: np.random.Generator) -> list[str]:
    """Describe a scene in five different sentences of 6 to 20 words.

    Each caption names every event, and says nothing that does not follow from the scene's
    parameters.

    Raises
    ------
    RuntimeError
        If the words of the scene's kinds do not yield five captions of that length.

    """
    return sentences(scene, rng, _templates(scene), count=CAPTIONS, words=WORDS)


def describe_event(event: Event, rng: np.random.Generator, count: int) -> list[str]:
    """Describe one event among others in `count` different phrases of 2 to 12 words.

    Raises
    ------
    RuntimeError
        As `describe_scene`.

    """
    scene = Scene(event.onset + event.seconds, (event,), "single")
    return sentences(scene, rng, AMONG_OTHERS, count=count, words=QUERY_WORDS)


def sentences(
    scene: Scene,
    rng: np.random.Generator,
    templates: tuple[str, ...],
    *,
    count: int,
    words: tuple[int, int],
) -> list[str]:
    """Fill templates until there are `count` different sentences with a number of words in a range.

    Raises
    ------
    RuntimeError
        If the words of the scene's kinds do not yield them.

    """
    fewest, most = words
    writer = _Writer(scene, rng)
    captions: dict[str, str] = {}  # as written, by the text that fills the template
    order = rng.permutation(len(templates))
    for attempt in range(TRIES):
        # one template after the other: the next caption starts with a template not used yet
        template = templates[order[(len(captions) + attempt) % len(order)]]
        text = writer.fill(template)
        said = text.replace("-", " ").split()
        if not fewest <= len(said) <= most or text in captions:
            continue
        if attempt < STRICT_TRIES and _repeats_itself(said):
            continue
        ending = "." if rng.uniform() < PERIOD_SHARE else ""
        captions[text] = text[0].upper() + text[1:] + ending
        if len(captions) == count:
            return list(captions.values())
    names = ", ".join(event.kind.name for event in scene.events)
    raise RuntimeError(
        f"only {len(captions)} of {count} captions of {fewest} to {most} words came out "
        f"for a scene of {names}: give these kinds more clauses and nominals"
    )


def _templates(scene: Scene) -> tuple[str, ...]:
    if scene.layout == "background":
        return ONE_OVER_BACKGROUND if len(scene.events) == 2 else TWO_OVER_BACKGROUND
    return (SINGLE, TWO_IN_SEQUENCE, THREE_IN_SEQUENCE)[len(scene.events) - 1]


def _repeats_itself(words: list[str]) -> bool:
    """Whether two words share their first five letters, or "someone" acts twice."""
    stems = [word.strip(",")[:5] for word in words if len(word.strip(",")) >= 5]
    stems = [stem for stem in stems if stem not in ("follo", "after")]
    pauses = sum(word.endswith(",") for word in words)
    return len(stems) != len(set(stems)) or words.count("then") > 1 or pauses > 2


def _is_adverb(text: str) -> bool:
    return text.endswith("ly")


def _is_progressive(clause: Clause) -> bool:
    """Whether a clause is progressive ("is barking") and not passive ("is struck")."""
    return clause.verb in (f"is {clause.gerund}", f"are {clause.gerund}")


def _tempo(event: Event) -> str | None:
    """Say whether the repeats of `event` are "fast" or "slow" for its kind."""
    shortest, longest = event.kind.period
    if event.count < 3 or longest < WIDE_RANGE * shortest:
        return None
    share = np.log(event.period / shortest) / np.log(longest / shortest)
    if event.period <= TEMPO_SECONDS:
        return "fast" if share <= FAST_SHARE else None
    return "slow" if share >= SLOW_SHARE else None


def _extent(event: Event) -> str | None:
    """Say whether an event that is not counted is "long" or "short"."""
    if event.kind.countable:
        return None
    if event.seconds >= LONG_SECONDS:
        return "long"
    return "short" if event.seconds < SHORT_SECONDS else None


class _Writer:
    """Fills templates for one scene; words are dealt from shuffled decks so that they vary."""

    def __init__(self, scene: Scene, rng: np.random.Generator) -> None:
        self.scene = scene
        self.rng = rng
        self.decks: dict[tuple[str, int], list] = defaultdict(list)
        # the fewer the events, the more may be said about each
        self.detail = (0.75, 0.45, 0.2)[len(scene.events) - 1]

    def fill(self, template: str) -> str:
        """Replace the slots of `template` by phrases about the events."""
        nouns = {slot: self.nominal(int(slot)) for slot in re.findall(r"\{[nv](\d)\}", template)}

        def phrase(match: re.Match[str]) -> str:
            slot, index = match.groups()
            if slot in "fg":
                return self.clause(int(index), finite=slot == "f")
            text, plural = nouns[index]
            if slot == "n":
                return text
            if slot == "v":
                heard = self.one_of(("can be heard", "are heard" if plural else "is heard"))
                return " ".join([text, heard, *self.place(self.scene.events[int(index)])])
            return AGREEMENT[slot][plural]

        return SLOT.sub(phrase, template)

    def chance(self, share: float) -> bool:
        return bool(self.rng.uniform() < share)

    def one_of(self, options: tuple[str, ...]) -> str:
        return options[self.rng.integers(len(options))]

    def deal(self, name: str, index: int, cards: tuple) -> Clause | Nominal:
        deck = self.decks[name, index]
        if not deck:
            deck.extend(cards[i] for i in self.rng.permutation(len(cards)))
        return deck.pop()

    def is_background(self, event: Event) -> bool:
        return self.scene.layout == "background" and event is self.scene.events[0]

    def goes_on(self, event: Event) -> bool:
        return self.scene.layout == "single" or self.is_background(event)

    def clause(self, index: int, *, finite: bool) -> str:
        """Say who does what, how, how often and where: "a dog barks loudly three times nearby"."""
        event = self.scene.events[index]
        clause = self.deal("clause", index, event.kind.clauses)
        # "the phone rings, then a dog is barking" has no end: such forms are for lasting sounds
        while finite and _is_progressive(clause) and not self.goes_on(event):
            clause = self.deal("clause", index, event.kind.clauses)
        parts = [clause.subject, clause.verb if finite else clause.gerund]
        if clause.counted is not None:
            quantity, plural = self.quantity(event)
            parts.append(f"{quantity} {clause.counted[plural or quantity == 'a series of']}")
        manner = self.manner(event, repeats=clause.repeats)
        # "knocks loudly on a door", but "cuts wood loudly", "goes off loudly"
        inside = _is_adverb(manner) and " " in clause.complement and self.chance(0.5)
        inside &= clause.complement.split(" ")[0] in PREPOSITIONS
        parts += [manner, clause.complement] if inside else [clause.complement, manner]
        counts = clause.repeats and not (finite and _is_progressive(clause))
        if event.kind.countable and clause.counted is None and counts:
            times = self.times(event)
            follows_adverb = _is_adverb(times) and _is_adverb(manner) and not inside
            parts += ["and", times] if follows_adverb else [times]
        if not clause.complement or self.chance(0.4):
            parts += self.place(event)
        return " ".join(part for part in parts if part)

    def manner(self, event: Event, *, repeats: bool) -> str:
        """Adverbs of loudness and of tempo or duration, those that the event bears out."""
        said = []
        if event.level_db >= LOUD_DB and self.chance(self.detail):
            said.append(self.one_of(LOUDLY))
        elif event.level_db <= QUIET_DB and self.chance(self.detail):
            said.append(self.one_of(QUIETLY))
        course = {
            "fast": FAST if repeats else FAST[:2],
            "slow": SLOWLY,
            "long": LONG,
            "short": BRIEFLY,
        }
        known = [course[word] for word in (_tempo(event), _extent(event)) if word]
        if event.kind.adverbs:
            known.append(event.kind.adverbs)
        if known and self.chance(self.detail):
            said.append(self.one_of(known[self.rng.integers(len(known))]))
        return (" and " if all(map(_is_adverb, said)) else " ").join(said)

    def times(self, event: Event) -> str:
        """How often: "three times", "repeatedly", or nothing."""
        if event.count == 1:
            return "once" if self.chance(self.detail / 2) else ""
        if self.chance(0.2):
            return ""
        if event.count <= MOST_COUNTED and self.chance(EXACT_SHARE):
            return "twice" if event.count == 2 else f"{NUMBERS[event.count]} times"
        return "more than once" if event.count == 2 else self.one_of(REPEATEDLY)

    def place(self, event: Event) -> list[str]:
        """Where: only what level and distance bear out, and not for a background."""
        if self.is_background(event):
            return []
        if event.distant and self.chance(0.8):
            return [self.one_of(FAR)]
        if event.level_db >= LOUD_DB and self.chance(0.3 * self.detail):
            return [self.one_of(NEAR)]
        return []

    def quantity(self, event: Event) -> tuple[str, bool]:
        """How many: words before a noun, and whether the whole is plural."""
        if event.count == 1:
            return self.one_of(("a single", "one")), False
        if event.count <= MOST_COUNTED and self.chance(EXACT_SHARE):
            return NUMBERS[event.count], True
        if event.count == 2:
            return "a couple of", True
        if self.chance(0.25):
            return "a series of", False
        vague = ("several", "a number of")
        if event.count <= FEW or event.count >= MANY:
            vague += ("a few" if event.count <= FEW else "many",)
        return self.one_of(vague), True

    def nominal(self, index: int) -> tuple[str, bool]:
        """Build a noun phrase such as "three loud barks of a dog", and say whether it is plural."""
        event = self.scene.events[index]
        noun = self.deal("nominal", index, event.kind.nominals)
        several = noun.plural is not None and event.count > 1
        adjectives = self.adjectives(event, noun)
        if noun.plural is None:
            words, plural = [*adjectives, noun.head, noun.tail], noun.is_plural
            article = noun.article
        elif not several and self.chance(0.5):
            words, plural, article = [*adjectives, noun.head, noun.tail], False, "a"
        else:
            quantity, plural = self.quantity(event)
            head = noun.plural if several else noun.head
            words, article = [quantity, *adjectives, head, noun.tail], ""
        text = " ".join(word for word in words if word)
        if article == "a" and text[0] in "aeiou":
            article = "an"
        return f"{article} {text}".lstrip(), plural

    def adjectives(self, event: Event, noun: Nominal) -> list[str]:
        """Choose adjectives that are true of the event and not in the noun phrase already."""
        true = [word for word in (_tempo(event), _extent(event)) if word]
        if event.level_db >= LOUD_DB:
            true.append("loud")
        elif event.distant:
            true.append("far")
        elif event.level_db <= QUIET_DB:
            true.append("quiet")
        options = [self.one_of(ADJECTIVES[word]) for word in true]
        if event.kind.adjectives:
            options.append(self.one_of(event.kind.adjectives))
        said = f"{noun.head} {noun.tail}"
        options = [word for word in options if word[:4] not in said]
        if not options or not self.chance(0.25 + 0.6 * self.detail):
            return []
        wanted = min(len(options), 1 + self.chance(0.3 * self.detail))
        return [options[i] for i in sorted(self.rng.choice(len(options), wanted, replace=False))]
