"""Clips and captions by their AudioSet tags: retrieval with nothing trained.

Shapes: B batch, K AudioSet classes (527), D dimension of a sentence vector.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class TagRetrieval(nn.Module):
    """Embed clips by the probabilities of their tags, and captions by their likeness to the tags.

    For a clip with tag probabilities p, and a caption with sentence vector e::

        w = √(p / Σ p)                       (a unit vector)
        audio = [normalise(w · Z), w] / √2
        z = normalise(whiten(e))
        s = softmax(κ z · Zᵀ)
        text = [z, √s] / √2

    where Z = normalise(whiten(E)) for the sentence vectors E of the tag texts. So the score is the
    mean of a cosine, which knows that tags are alike, and of the Bhattacharyya coefficient
    Σ √(p s / Σ p) of two distributions over tags, which tells them apart.

    Parameters
    ----------
    tag_table : Tensor, shape (K, D)
        E, unit vectors of `TEXTS`.

    """

    # Captions speak of sounds, so that "the sound of rain" is nearer to them than "Rain".
    TEXTS = "sounds"  # of `utils.datasets.audioset.tag_texts`
    SHARPNESS = 20.0  # κ
    ratio = 0.0  # as of a dual encoder: nothing is projected
    text_is_trained = False

    def __init__(self, tag_table: Tensor) -> None:
        super().__init__()
        mean, whitening = whitening_of(tag_table)
        self.register_buffer("tag_table", tag_table)
        self.register_buffer("mean", mean)
        self.register_buffer("whitening", whitening)
        self.register_buffer("directions", self._whiten(tag_table))  # Z

    def embed_tags(self, logits: Tensor) -> None:
        """Return None: a clip has no embedding beside that of `encode_audio`."""

    @torch.no_grad()
    def encode_audio(self, logits: Tensor, tags: None = None) -> Tensor:
        """Embed clips: logits (B, K) ─► unit vectors (B, D + K)."""
        weights = tag_weights(logits)
        meaning = F.normalize(weights @ self.directions, dim=-1)
        return torch.cat([meaning, weights], dim=-1) * 0.5**0.5

    @torch.no_grad()
    def encode_text(self, sentences: Tensor) -> Tensor:
        """Embed captions: sentence vectors (B, D) ─► unit vectors (B, D + K)."""
        meaning = self._whiten(sentences)
        likeness = (self.SHARPNESS * meaning @ self.directions.T).softmax(dim=-1)
        return torch.cat([meaning, likeness.sqrt()], dim=-1) * 0.5**0.5

    @torch.no_grad()
    def explain_scores(
        self, features: Tensor, logits: Tensor, queries: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Split the score of each clip for its query into what each tag adds.

        Parameters
        ----------
        features : Tensor
            Not used.
        logits : Tensor, shape (B, K)
        queries : Tensor, shape (B, D + K)
            From `encode_text` or `encode_audio`.

        Returns
        -------
        projection : Tensor, shape (B,)
            Zeros: nothing is projected.
        tags : Tensor, shape (B, K)

        """
        weights = tag_weights(logits)
        length = (weights @ self.directions).norm(dim=-1, keepdim=True)
        meaning, likeness = queries.tensor_split([self.directions.shape[1]], dim=-1)
        tags = weights * (meaning @ self.directions.T / length + likeness) * 0.5**0.5
        return logits.new_zeros(len(logits)), tags

    def _whiten(self, sentences: Tensor) -> Tensor:
        return F.normalize((sentences - self.mean) @ self.whitening, dim=-1)


def tag_space(table: Tensor, kind: str) -> Tensor:
    """Change the sentence vectors of tags, so that a tag embedding tells clips better apart.

    With the mean m and the matrix M of `whitening_of`, a vector e becomes e (``plain``), e - m
    (``centred``), or (e - m) M² (``whitened``): its product with a caption is then that of both
    whitened.

    Parameters
    ----------
    table : Tensor, shape (K, D)
    kind : {'plain', 'centred', 'whitened'}

    Returns
    -------
    Tensor, shape (K, D)

    """
    if kind == "plain":
        return table
    mean, matrix = whitening_of(table)
    return table - mean if kind == "centred" else (table - mean) @ matrix @ matrix


def tag_weights(logits: Tensor) -> Tensor:
    """Take the square roots of the tags' shares in the probability: (B, K) ─► unit vectors (B, K).

    Examples
    --------
    >>> tag_weights(torch.tensor([[0.0, 0.0, -torch.inf]]))
    tensor([[0.7071, 0.7071, 0.0000]])

    """
    # By logarithms, because all probabilities may be too small for their sum.
    return F.logsigmoid(logits).log_softmax(dim=-1).mul(0.5).exp()


def whitening_of(table: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the mean of vectors, and the matrix that halves the differences of their variances.

    With the covariance C, and its mean variance v as a ridge, the matrix is (C + v I)^(-1/4): half
    of the exponent that would make all variances alike, where the cosine of two vectors would
    consist of the rarest directions.

    Parameters
    ----------
    table : Tensor, shape (K, D)

    Returns
    -------
    mean : Tensor, shape (D,)
    matrix : Tensor, shape (D, D)
        Symmetric.

    """
    mean = table.mean(dim=0)
    variances, axes = torch.linalg.eigh((table - mean).double().T.cov(correction=0))
    variances = variances.clamp(min=0)
    matrix = axes * (variances + variances.mean()) ** -0.25 @ axes.T
    return mean, matrix.to(table)
