"""The words that captions are made of: templates, and words for loudness, tempo, place and number.

The slots of a template are explained in `utils.demo.scenes.captions`.
"""

PREPOSITIONS = (
    "against", "at", "behind", "by", "from", "in", "into", "near", "on", "onto", "over", "through",
    "with",
)  # fmt: skip
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")
LOUDLY, QUIETLY = ("loudly", "very loudly", "noisily"), ("quietly", "faintly", "very quietly")
FAST = ("rapidly", "quickly", "in quick succession")
SLOWLY = ("slowly", "at a slow pace", "unhurriedly")
LONG = ("continuously", "without a break", "for a long time", "nonstop", "constantly")
BRIEFLY = ("briefly", "for a moment", "for a short while")
FAR, NEAR = ("in the distance", "far away", "a long way off"), ("nearby", "close by", "up close")
REPEATEDLY = (
    "repeatedly", "several times", "again and again", "over and over", "a number of times"
)  # fmt: skip
ADJECTIVES = {
    "loud": ("loud", "very loud"),
    "quiet": ("faint", "quiet"),
    "far": ("distant", "faraway"),
    "fast": ("rapid", "quick"),
    "slow": ("slow",),
    "long": ("continuous", "constant"),
    "short": ("brief", "short"),
}
AGREEMENT = {
    "is": ("is", "are"),
    "comes": ("comes", "come"),
    "gives": ("gives", "give"),
    "breaks": ("breaks", "break"),
}
SINGLE = (
    "{f0}",
    "{f0}",
    "{g0}",
    "the sound of {g0}",
    "there {is0} {n0}",
    "{v0}",
    "{n0} {breaks0} the silence",
    "nothing but {n0} can be heard",
    "a recording of {g0}",
    "only {n0} {is0} heard",
    "{n0} {is0} heard and nothing else",
)
AMONG_OTHERS = (  # of one event in a recording that has more
    "{f0}",
    "{f0}",
    "{g0}",
    "{n0}",
    "{v0}",
    "the sound of {g0}",
    "there {is0} {n0}",
    "{n0} {is0} heard",
)
TWO_IN_SEQUENCE = (
    "{f0}, then {f1}",
    "{f0} and then {f1}",
    "{f0} before {f1}",
    "first {f0}, then {f1}",
    "{g0}, followed by {g1}",
    "{g0} and then {g1}",
    "{n0} {is0} followed by {n1}",
    "{n0}, followed by {n1}",
    "after {n0}, {f1}",
    "{f1} after {n0}",
    "{f0}, and a moment later {f1}",
    "{n0} {gives0} way to {n1}",
    "{n0} {comes0} first, then {f1}",
    "there {is0} {n0} and then {n1}",
)
THREE_IN_SEQUENCE = (
    "{f0}, then {f1}, and finally {f2}",
    "{f0}, {f1} and then {f2}",
    "{g0}, followed by {g1} and then {g2}",
    "{n0} {is0} followed by {n1} and then by {n2}",
    "{f0} before {f1}, and then {f2}",
    "first {n0}, then {n1} and at last {n2}",
    "{n0}, followed by {n1} and {n2}",
    "after {n0} and {n1}, {f2}",
    "{n0}, then {n1}, then {n2}",
    "{f0} and then {f1}, followed by {n2}",
)
ONE_OVER_BACKGROUND = (
    "{f1} while {f0}",
    "{f1} while {f0} in the background",
    "{f0} in the background while {f1}",
    "{f0} as {f1}",
    "{f0} while {f1}",
    "{g1} with {n0} in the background",
    "{n1} over {n0}",
    "over {n0}, {f1}",
    "in the background {f0} while {f1}",
    "{g1} while {f0}",
    "{f1}, and {n0} can be heard in the background",
    "with {n0} in the background, {f1}",
    "{n0} {is0} heard together with {n1}",
)
TWO_OVER_BACKGROUND = (
    "{f1} and then {f2} while {f0}",
    "{f0} in the background as {f1}, then {f2}",
    "{n1} followed by {n2} over {n0}",
    "with {n0} in the background, {f1} before {f2}",
    "{g1} and then {g2} with {n0} in the background",
    "over {n0}, {f1}, then {f2}",
    "while {f0}, {f1} and then {f2}",
    "{f0} while {n1} {is1} followed by {n2}",
    "{f0}, and {n1} {is1} heard before {n2}",
    "in the background {f0}, while {f1} and afterwards {f2}",
)
