"""How well sounds fit a description and a line of words together.

Both are evidence, measured in nats: minus the logarithm of the share of sounds that would do as
well by chance. Of the likeness to a description, that share follows from the mean and the deviation
of the likeness in the library, as if it were normal. Of words, BM25 is about the logarithm of how
rare they are.

Names mislead where sounds that have the words of a query are no more like it than others. So words
count as far as these sounds are alike to the description, on average. That is not asked of codes,
such as "SC012", of which a sentence model knows nothing.

Shapes: N candidates, each a sound or a passage.
"""

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtri_exp

SAMPLE = 4096  # passages whose likeness tells what is usual
_WORDS = 0.7  # what a nat of words counts for, beside one of meaning
_CODES = 1.5
_AGREEMENT = 1.5  # deviations above usual at which words count in full
_LEAST_DEVIATION = 1e-6


class Usual(NamedTuple):
    """Mean and deviation of the likeness of a text to the passages of a library."""

    mean: float
    deviation: float

    @classmethod
    def of(cls, likeness: NDArray[np.floating]) -> Self:
        """Measure them on a sample of passages, chosen without regard to the text."""
        deviation = max(float(np.std(likeness, dtype=np.float64)), _LEAST_DEVIATION)
        return cls(float(np.mean(likeness, dtype=np.float64)), deviation)

    def standardise(self, likeness: NDArray[np.floating]) -> NDArray[np.float64]:
        """Express likeness in deviations above the mean."""
        return (np.asarray(likeness, np.float64) - self.mean) / self.deviation


UNDESCRIBED = Usual(0.0, 0.2)  # of a line that describes nothing; a score is 1 at most, about


def fuse(
    meaning: NDArray[np.floating],
    words: NDArray[np.floating],
    codes: NDArray[np.floating],
    *,
    usual: Usual,
) -> NDArray[np.float64]:
    """Score candidates by meaning and words.

    Parameters
    ----------
    meaning : ndarray, shape (N,)
        Dot products with the embedding of the description.
    words, codes : ndarray, shape (N,)
        Evidence of `utils.search.words.find_contents`, 0 of candidates without the words. All
        sounds that were found by words should be among the candidates.
    usual : Usual
        Of `meaning` in the library.

    Returns
    -------
    ndarray, shape (N,)
        On the scale of `meaning`, and the same where there are no words.

    """
    deviations = usual.standardise(meaning)
    agreement = (deviations @ words) / max(words.sum(), 1e-9)
    trust = float(np.clip(agreement / _AGREEMENT, 0, 1))
    added = _WORDS * trust * words + _CODES * codes
    scores = np.array(meaning, np.float64)
    more = added > 0
    # ndtri_exp is the inverse of log_ndtr, also far out where the share of sounds underflows.
    fused = -ndtri_exp(log_ndtr(-deviations[more]) - added[more])
    scores[more] = usual.mean + usual.deviation * fused
    return scores
