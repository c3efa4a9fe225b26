"""Clips that nobody recorded: tag logits as PaSST gives them, and captions that name the tags.

For measuring search where there are not a million sounds. A few tags are loud, tags of a like
meaning are lifted along with them, and the rest lies low, with noise that is partly shared.

Shapes: B clips, K tags, D dimension of the tags' sentence vectors.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_MOST = 4  # loud tags of a clip
_COMMON = 0.8  # the n-th most frequent tag is heard 1/n^0.8 as often
_LOUD, _LOUD_SPREAD = 10.0, 2.0  # logits above a tag's rest
_UNLIKE = 0.3  # cosine between the names of tags that have nothing in common
_TIMBRES, _TIMBRE = 32, 0.18  # sources of shared noise, and what each adds to a logit
_REST = -1.0  # logit of a tag that is always heard, when it is not
_CAPTIONS = (
    ("{0}", "the sound of {0}", "{0} can be heard", "{0} in the distance"),
    ("{0} and {1}", "{0} with {1} in the background", "{0} followed by {1}"),
    ("{0}, {1} and {2}", "{0} and {1}, then {2}", "{0} while there is {1} and {2}"),
)


class ImaginedClips:
    """Draw clips from a world in which some tags are heard often and some hardly ever.

    Parameters
    ----------
    names : sequence of K str
    vectors : ndarray, shape (K, D), float32
        Unit sentence vectors of the names.
    rng : numpy.random.Generator
        Makes the world and all that is drawn from it.

    """

    def __init__(
        self, names: Sequence[str], vectors: NDArray[np.float32], *, rng: np.random.Generator
    ) -> None:
        self._names = [name.lower() for name in names]
        self._rng = rng
        often = rng.permutation(1 / np.arange(1, len(names) + 1) ** _COMMON)
        self._often = often / often.sum()
        self._rest = (np.log(often / often.max()) + _REST).astype(np.float32)
        alike = np.clip((vectors @ vectors.T - _UNLIKE) / (1 - _UNLIKE), 0, 1)
        self._alike = alike**1.5
        timbres = rng.standard_normal((_TIMBRES, len(names)), np.float32)
        self._timbres = _TIMBRE * timbres

    def draw(self, count: int) -> tuple[NDArray[np.float32], list[NDArray[np.int64]]]:
        """Draw clips.

        Parameters
        ----------
        count : int
            B.

        Returns
        -------
        logits : ndarray, shape (B, K), float32
        tags : list of B ndarrays
            The loud tags of each, one to four.

        """
        rng, shape = self._rng, (count, len(self._names))
        tags = rng.choice(len(self._names), size=(count, _MOST), p=self._often)
        loud = np.arange(_MOST) < rng.integers(1, _MOST + 1, size=(count, 1))
        strength = (loud * rng.normal(_LOUD, _LOUD_SPREAD, tags.shape)).astype(np.float32)
        lift = np.zeros(shape, np.float32)
        for place in range(_MOST):
            np.maximum(lift, strength[:, place, None] * self._alike[tags[:, place]], out=lift)
        shared = rng.standard_normal((count, _TIMBRES), np.float32) @ self._timbres
        logits = self._rest + lift + shared + rng.standard_normal(shape, np.float32)
        return logits, [np.unique(row[heard]) for row, heard in zip(tags, loud, strict=True)]

    def describe(self, tags: NDArray[np.int64]) -> str:
        """Write a caption that names up to three of a clip's loud tags."""
        told = self._rng.permutation(tags)[: self._rng.integers(1, len(_CAPTIONS) + 1)]
        template = self._rng.choice(_CAPTIONS[len(told) - 1])
        return template.format(*(self._names[tag] for tag in told))
