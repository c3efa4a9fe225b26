"""all-mpnet-base-v2: texts ─► unit sentence vectors.

Mean over the token vectors, normalised, as the model card of
https://huggingface.co/sentence-transformers/all-mpnet-base-v2 prescribes.

Shapes: B texts of a batch, L tokens, D = 768 dimensions.
"""

import contextlib
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import transformers
from torch import Tensor, nn
from torch.nn import functional as F

MAX_TOKENS = 384  # as in training; longer texts are truncated
# Categories of Unicode: spaces, controls and marks on other characters.
_INVISIBLE = {"Zs", "Zl", "Zp", "Cc", "Cf", "Mn", "Me"}


class Reading(NamedTuple):
    """What the model reads of a text."""

    has_words: bool  # whether it reads any letter or digit
    unread: tuple[str, ...]  # parts without a word piece of their own, in their order
    pieces: int  # word pieces of the whole text
    most: int  # so many are read, the rest is cut


class SentenceEncoder(nn.Module):
    """A pretrained transformer with mean pooling.

    Parameters
    ----------
    folder : Path
        A local model folder in Hugging Face's layout, with safetensors weights.

    Raises
    ------
    ValueError
        If configuration, tokenizer and weights do not fit together: transformers would replace
        missing weights by random ones, which makes the vectors noise.

    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        with _quiet_transformers():
            # Never run code from the folder, nor ask whether to.
            options = {"local_files_only": True, "trust_remote_code": False}
            self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **options)
            self.transformer, loaded = transformers.AutoModel.from_pretrained(
                folder,
                use_safetensors=True,
                add_pooling_layer=False,
                output_loading_info=True,
                **options,
            )
        names = [*loaded["missing_keys"], *loaded["unexpected_keys"]]
        if wrong := [name for name in names if not name.startswith("pooler.")]:
            raise ValueError(
                f"the weights do not fit config.json: {len(wrong)} are missing or unexpected, such "
                f"as {min(wrong)}"
            )
        tokens = max(self.tokenizer.get_vocab().values())
        rows = self.transformer.get_input_embeddings().num_embeddings
        if tokens >= rows:
            raise ValueError(f"the tokenizer has a token {tokens}, the network {rows} tokens")

    def tokenize(self, texts: list[str]) -> list[list[int]]:
        """Turn texts into token ids, each list truncated to `MAX_TOKENS`.

        Names of special tokens in a text, such as <mask>, are text.
        """
        if not texts:
            return []
        return self.tokenizer(
            texts, truncation=True, max_length=MAX_TOKENS, split_special_tokens=True
        )["input_ids"]

    def read(self, texts: list[str]) -> list[Reading]:
        """Tell what `tokenize` keeps of each text."""
        if not texts:
            return []
        encoded = self.tokenizer(
            texts,
            add_special_tokens=False,
            split_special_tokens=True,
            return_offsets_mapping=True,
            verbose=False,
        )
        unknown = self.tokenizer.unk_token_id
        most = MAX_TOKENS - self.tokenizer.num_special_tokens_to_add()
        readings = []
        for text, ids, places in zip(
            texts, encoded["input_ids"], encoded["offset_mapping"], strict=True
        ):
            known = [place for id, place in zip(ids, places, strict=True) if id != unknown]
            has_words = any(
                id != unknown and any(map(str.isalnum, text[start:end]))
                for id, (start, end) in zip(ids[:most], places, strict=False)
            )
            readings.append(Reading(has_words, _between(text, known), len(ids), most))
        return readings

    def forward(self, tokens: list[list[int]]) -> Tensor:
        """Embed tokenised texts.

        Parameters
        ----------
        tokens : list of B lists of token ids
            From `tokenize`; similar lengths need the least padding.

        Returns
        -------
        Tensor, shape (B, D), float32
            Unit vectors.

        """
        batch = self.tokenizer.pad({"input_ids": tokens}, return_tensors="pt")
        batch = {name: tensor.to(self.transformer.device) for name, tensor in batch.items()}
        hidden = self.transformer(**batch).last_hidden_state.float()  # (B, L, D)
        mask = batch["attention_mask"].unsqueeze(-1).float()
        mean = (hidden * mask).sum(dim=1) / mask.sum(dim=1)
        return F.normalize(mean, dim=-1)


def _between(text: str, places: Sequence[tuple[int, int]]) -> tuple[str, ...]:
    """List what can be seen of a text outside some places in it."""
    rest = list(text)
    for start, end in places:
        rest[start:end] = " " * (end - start)
    seen = (" " if unicodedata.category(char) in _INVISIBLE else char for char in rest)
    return tuple("".join(seen).split())


@contextlib.contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Hide its progress bar and its table of the unused pooler weights."""
    verbosity = transformers.logging.get_verbosity()
    bar = transformers.logging.is_progress_bar_enabled()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers.logging.set_verbosity(verbosity)
        if bar:
            transformers.logging.enable_progress_bar()
