"""Made-up clips: tag logits like those of PaSST, and captions that name the tags.

For measuring search without a million real sounds. A few tags of each clip get high logits, tags of
similar meaning are raised together, the rest is low. Part of the noise is shared between tags.

Shapes: B clips, K tags, D dimension of the tags' sentence vectors.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_MOST_TAGS = 4  # high tags of a clip
_ZIPF = 0.8  # the n-th most frequent tag occurs 1/n^0.8 as often as the first
_RAISE, _RAISE_SPREAD = 10.0, 2.0  # mean and deviation of what a high tag's logit is raised by
_UNRELATED = 0.3  # cosine between the names of unrelated tags
_NOISES, _NOISE = 32, 0.18  # sources of shared noise, and the weight of each in a logit
_LOW = -1.0  # low logit of the most frequent tag; rarer tags are lower by the log of their rarity
_CAPTIONS = (
    ("{0}", "the sound of {0}", "{0} can be heard", "{0} in the distance"),
    ("{0} and {1}", "{0} with {1} in the background", "{0} followed by {1}"),
    ("{0}, {1} and {2}", "{0} and {1}, then {2}", "{0} while there is {1} and {2}"),
)


class MadeUpClips:
    """Draw clips whose tags are of very different frequency, as in real collections.

    Parameters
    ----------
    names : sequence of K str
    vectors : ndarray, shape (K, D), float32
        Unit sentence vectors of the names.
    rng : numpy.random.Generator
        Source of the tags' frequencies and of everything drawn later.

    """

    def __init__(
        self, names: Sequence[str], vectors: NDArray[np.float32], *, rng: np.random.Generator
    ) -> None:
        self._names = [name.lower() for name in names]
        self._rng = rng
        frequency = rng.permutation(1 / np.arange(1, len(names) + 1) ** _ZIPF)
        self._frequency = frequency / frequency.sum()
        self._low = (np.log(frequency / frequency.max()) + _LOW).astype(np.float32)
        similarity = np.clip((vectors @ vectors.T - _UNRELATED) / (1 - _UNRELATED), 0, 1)
        # A power above 1: close synonyms are raised almost as much as the tag, loosely related
        # tags (half as similar) only by a third.
        self._raised_along = similarity**1.5
        self._noises = _NOISE * rng.standard_normal((_NOISES, len(names)), np.float32)

    def draw(self, count: int) -> tuple[NDArray[np.float32], list[NDArray[np.int64]]]:
        """Draw B = `count` clips.

        Returns
        -------
        logits : ndarray, shape (B, K), float32
        tags : list of B ndarrays
            The high tags of each clip, one to four.

        """
        rng, shape = self._rng, (count, len(self._names))
        tags = rng.choice(len(self._names), size=(count, _MOST_TAGS), p=self._frequency)
        present = np.arange(_MOST_TAGS) < rng.integers(1, _MOST_TAGS + 1, size=(count, 1))
        strength = (present * rng.normal(_RAISE, _RAISE_SPREAD, tags.shape)).astype(np.float32)
        raised = np.zeros(shape, np.float32)
        for i in range(_MOST_TAGS):
            np.maximum(raised, strength[:, i, None] * self._raised_along[tags[:, i]], out=raised)
        shared = rng.standard_normal((count, _NOISES), np.float32) @ self._noises
        logits = self._low + raised + shared + rng.standard_normal(shape, np.float32)
        return logits, [np.unique(row[high]) for row, high in zip(tags, present, strict=True)]

    def describe(self, tags: NDArray[np.int64]) -> str:
        """Write a caption that names up to three of a clip's high tags."""
        named = self._rng.permutation(tags)[: self._rng.integers(1, len(_CAPTIONS) + 1)]
        template = self._rng.choice(_CAPTIONS[len(named) - 1])
        return template.format(*(self._names[tag] for tag in named))
