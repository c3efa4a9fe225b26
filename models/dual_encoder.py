"""Two branches that meet in one space: clips on one side, captions on the other.

Pellegrini, "Language-based audio retrieval with textual embeddings of tag names", DCASE 2022
workshop, https://hal.science/hal-03812737.

Shapes: B batch, K AudioSet classes (527), F numbers of an audio feature, D dimension of the space.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class DualEncoder(nn.Module):
    """Project clips and captions into one space, where the score is the dot product.

    Parameters
    ----------
    audio_size : int
        F, numbers of the audio feature: 527 logits, the scene embedding, or both concatenated.
    text_size : int
        D, dimension of the sentence vectors and of the shared space.
    tag_table : Tensor, shape (K, D), optional
        Unit embeddings of the tag texts. None: no tag branch, the projection stands alone.
    ratio : float
        Weight of the projection in the audio embedding; the tag embedding gets 1 - ratio.
    text_projection : bool
        Add a trainable linear layer to the text branch.
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

    @property
    def text_is_trained(self) -> bool:
        """Whether `encode_text` changes as the model is trained."""
        return not isinstance(self.text_projection, nn.Identity)

    @torch.no_grad()
    def embed_tags(self, logits: Tensor) -> Tensor | None:
        """Average the tag texts by the probabilities of the tags.

        Nothing here is trained, so this is computed once per clip and given to `encode_audio`.

        Parameters
        ----------
        logits : Tensor, shape (B, K)
            Before the sigmoid.

        Returns
        -------
        Tensor, shape (B, D)
            Unit vectors; None if the model has no tag branch.

        """
        return None if self.tag_table is None else tag_embedding(logits, self.tag_table)

    def encode_audio(self, features: Tensor, tags: Tensor | None) -> Tensor:
        """Embed clips.

        Parameters
        ----------
        features : Tensor, shape (B, F)
        tags : Tensor, shape (B, D)
            From `embed_tags`; None exactly if the model has no tag branch.

        Returns
        -------
        Tensor, shape (B, D)
            Unit vectors.

        """
        if (tags is None) != (self.tag_table is None):
            raise ValueError("tags must be given exactly if the model has a tag table")
        projected = F.normalize(self.audio_projection(self.audio_norm(features)), dim=-1)
        if tags is None:
            return projected
        return F.normalize(self.ratio * projected + (1 - self.ratio) * tags, dim=-1)

    def encode_text(self, sentences: Tensor) -> Tensor:
        """Embed captions: sentence vectors (B, D) ─► unit vectors (B, D)."""
        return F.normalize(self.text_projection(self.text_norm(sentences)), dim=-1)


def tags_alone(model: DualEncoder) -> DualEncoder:
    """Make the model whose audio embedding is the tag embedding: nothing in it is trained."""
    alone = DualEncoder(
        audio_size=model.audio_projection.in_features,
        text_size=model.audio_projection.out_features,
        tag_table=model.tag_table,
        ratio=0.0,
    )
    return alone.to(model.tag_table.device)


def tag_embedding(logits: Tensor, tag_table: Tensor) -> Tensor:
    """Average tag texts by tag probabilities: (B, K), (K, D) ─► unit vectors (B, D)."""
    probabilities = logits.sigmoid()
    average = (probabilities @ tag_table) / probabilities.sum(dim=-1, keepdim=True)
    return F.normalize(average, dim=-1)


def _linear(inputs: int, outputs: int, generator: torch.Generator | None) -> nn.Linear:
    # skip_init: the default initialisation would draw from the global random state.
    layer = nn.utils.skip_init(nn.Linear, inputs, outputs)
    nn.init.kaiming_uniform_(layer.weight, generator=generator)
    nn.init.zeros_(layer.bias)
    return layer
