"""A clip branch and a caption branch that meet in one space, where the score is the dot product.

Pellegrini, "Language-based audio retrieval with textual embeddings of tag names", DCASE 2022
workshop, https://hal.science/hal-03812737.

Shapes: B batch, K AudioSet classes (527), F numbers of an audio feature, D dimension of the space.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class DualEncoder(nn.Module):
    """Project clips and captions into one space.

    For a clip with audio feature x and tag embedding t, and a caption with sentence vector e::

        a = normalise(W · LayerNorm(x) + b)
        audio = normalise(r · a + (1 - r) · t)
        text = normalise(LayerNorm(e))          (this LayerNorm has no weights)

    Parameters
    ----------
    audio_size : int
        F: 527 for logits, the size of the scene embedding, or the sum of both.
    text_size : int
        D, dimension of the sentence vectors and of the shared space.
    tag_table : Tensor, shape (K, D), optional
        Unit embeddings of the tag texts. None: no tag branch, and audio = a.
    ratio : float
        r, in [0, 1].
    text_projection : bool
        Add a trainable linear layer to the text branch, after its LayerNorm.
    generator : torch.Generator, optional
        Source of the initial weights.

    """

    def __init__(
        self,
        *,
        audio_size: int,
        text_size: int,
        tag_table: Tensor | None = None,
        ratio: float = 0.8,
        text_projection: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.ratio = ratio
        self.audio_norm = nn.LayerNorm(audio_size)
        self.audio_projection = _linear(audio_size, text_size, generator)
        self.text_norm = nn.LayerNorm(text_size, elementwise_affine=False)
        self.text_projection = (
            _linear(text_size, text_size, generator) if text_projection else nn.Identity()
        )
        self.register_buffer("tag_table", tag_table)

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], *, ratio: float) -> "DualEncoder":
        """Build a trained model from its weights, whose shapes give all sizes.

        Parameters
        ----------
        state : mapping of str to Tensor
            From `state_dict`.
        ratio : float
            r, which the weights do not include.

        Returns
        -------
        DualEncoder
            In evaluation mode.

        Raises
        ------
        KeyError, RuntimeError, ValueError
            If a weight is missing, unexpected, or of a shape that does not fit the others.

        """
        text_size, audio_size = state["audio_projection.weight"].shape
        tag_table = state.get("tag_table")
        if tag_table is not None and (tag_table.ndim != 2 or tag_table.shape[1] != text_size):
            raise ValueError(
                f"tag_table has the shape {tuple(tag_table.shape)}: expected rows of {text_size}"
            )
        model = cls(
            audio_size=audio_size,
            text_size=text_size,
            tag_table=tag_table,
            ratio=ratio,
            text_projection="text_projection.weight" in state,
        )
        model.load_state_dict(state)
        return model.eval()

    @property
    def text_is_trained(self) -> bool:
        """Whether training changes the result of `encode_text`."""
        return not isinstance(self.text_projection, nn.Identity)

    @torch.no_grad()
    def embed_tags(self, logits: Tensor) -> Tensor | None:
        """Compute the tag embeddings of clips, once for all calls of `encode_audio`.

        Parameters
        ----------
        logits : Tensor, shape (B, K)
            Before the sigmoid.

        Returns
        -------
        Tensor, shape (B, D), or None
            See `tag_embedding`; None if the model has no tag branch.

        """
        return None if self.tag_table is None else tag_embedding(logits, self.tag_table)

    def encode_audio(self, features: Tensor, tags: Tensor | None) -> Tensor:
        """Embed clips.

        Parameters
        ----------
        features : Tensor, shape (B, F)
        tags : Tensor, shape (B, D), or None
            From `embed_tags`; None exactly if the model has no tag branch.

        Returns
        -------
        Tensor, shape (B, D)
            Unit vectors.

        """
        if (tags is None) != (self.tag_table is None):
            raise ValueError("tags must be given exactly if the model has a tag table")
        projection = self._project_audio(features)
        if tags is None:
            return projection
        return F.normalize(self.ratio * projection + (1 - self.ratio) * tags, dim=-1)

    def encode_text(self, sentences: Tensor) -> Tensor:
        """Embed captions: sentence vectors (B, D) ─► unit vectors (B, D)."""
        return F.normalize(self.text_projection(self.text_norm(sentences)), dim=-1)

    @torch.no_grad()
    def explain_audio(
        self, features: Tensor, logits: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Split the embedding of clips into the parts that it is a sum of.

        Parameters
        ----------
        features : Tensor, shape (B, F)
        logits : Tensor, shape (B, K), or None
            None exactly if the model has no tag branch.

        Returns
        -------
        projection : Tensor, shape (B, D)
            The learned projection's part of `encode_audio`.
        tags : Tensor, shape (B, D), or None
            The tag branch's part; both add up to `encode_audio`.
        shares : Tensor, shape (B, K), or None
            Each tag's weight: ``shares @ tag_table`` is `tags`.

        """
        projection = self._project_audio(features)
        if logits is None:
            return projection, None, None
        probabilities = logits.sigmoid()
        average = probabilities @ self.tag_table
        shares = probabilities / average.norm(dim=-1, keepdim=True)
        parts = [self.ratio * projection, (1 - self.ratio) * (shares @ self.tag_table)]
        length = sum(parts).norm(dim=-1, keepdim=True)
        projection, tags = (part / length for part in parts)
        return projection, tags, (1 - self.ratio) / length * shares

    def explain_scores(
        self, features: Tensor, logits: Tensor | None, queries: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Split the score of each clip for its query into what it is a sum of.

        Parameters
        ----------
        features, logits
            See `explain_audio`.
        queries : Tensor, shape (B, D)
            From `encode_text` or `encode_audio`.

        Returns
        -------
        projection : Tensor, shape (B,)
            What the learned projection adds.
        tags : Tensor, shape (B, K), or None
            What each tag adds.

        """
        projection, _, shares = self.explain_audio(features, logits)
        scores = (projection * queries).sum(dim=-1)
        return scores, None if shares is None else shares * (queries @ self.tag_table.T)

    def tags_alone(self) -> "DualEncoder":
        """Make the model whose audio embedding is the tag embedding alone (r = 0)."""
        alone = DualEncoder(
            audio_size=self.audio_projection.in_features,
            text_size=self.audio_projection.out_features,
            tag_table=self.tag_table,
            ratio=0.0,
        )
        return alone.to(self.tag_table.device)

    def _project_audio(self, features: Tensor) -> Tensor:
        return F.normalize(self.audio_projection(self.audio_norm(features)), dim=-1)


def tag_embedding(logits: Tensor, tag_table: Tensor) -> Tensor:
    """Average the embeddings of tag texts, weighted by the probabilities of the tags.

    With p = sigmoid(logits) and the table E::

        t = normalise(p · E / Σ p)

    Parameters
    ----------
    logits : Tensor, shape (B, K)
    tag_table : Tensor, shape (K, D)

    Returns
    -------
    Tensor, shape (B, D)
        Unit vectors.

    Examples
    --------
    The first clip has the first tag alone, the second clip has both tags alike:

    >>> table = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> tag_embedding(torch.tensor([[9.0, -torch.inf], [3.0, 3.0]]), table)
    tensor([[1.0000, 0.0000],
            [0.7071, 0.7071]])

    """
    probabilities = logits.sigmoid()
    average = (probabilities @ tag_table) / probabilities.sum(dim=-1, keepdim=True)
    return F.normalize(average, dim=-1)


def _linear(inputs: int, outputs: int, generator: torch.Generator | None) -> nn.Linear:
    # The default initialisation draws from the global random state. (nn.utils.skip_init does not,
    # but takes a second to import.)
    with torch.random.fork_rng(devices=[]):
        layer = nn.Linear(inputs, outputs)
    nn.init.kaiming_uniform_(layer.weight, generator=generator)
    nn.init.zeros_(layer.bias)
    return layer
