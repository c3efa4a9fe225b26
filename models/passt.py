"""PaSST: windows of sound ─► AudioSet logits and a scene embedding, also of each half second.

Wraps the network and the mel front end of ``hear21passt`` (Koutini et al., "Efficient training of
audio transformers with patchout", Interspeech 2022, https://arxiv.org/abs/2110.05069), with equal
numbers. The filterbank is computed once instead of at every call, and attention never stores the
N × N maps of all heads.

Shapes: B windows, S samples, T frames, E scene embedding dimension, G cells of a window.
"""

import contextlib
import io
import math
import sys
import warnings
from collections.abc import Iterator

import torch
import torchaudio
from torch import Tensor, nn
from torch.nn import functional as F

from models.architectures import (
    ARCHITECTURES,
    CELL_SECONDS,
    CLASSES,
    FRAME_HOP,
    HEARD_SECONDS,
    HOP_SECONDS,
    PATCH,
    SAMPLE_RATE,
    Architecture,
)
from utils.runtime import onednn


@contextlib.contextmanager
def _without(module: str) -> Iterator[None]:
    """Let imports of a module fail meanwhile, unless it has been imported before."""
    hidden = sys.modules.setdefault(module, None) is None
    try:
        yield
    finally:
        if hidden:
            del sys.modules[module]


@contextlib.contextmanager
def _of_any_length() -> Iterator[None]:
    """Silence a warning: clips may be shorter than the window; the network cuts its embedding."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Input image size")
        yield


# timm, which hear21passt imports, would import wandb only to offer a logger that is not used here.
with _without("wandb"):
    from hear21passt.models import passt as hear21
    from hear21passt.models.preprocess import AugmentMelSTFT

_PREEMPHASIS = 0.97
_MAP_NUMBERS = 2**21  # numbers of an attention map held at once; they fit in the caches


class Passt(nn.Module):
    """A mel front end and a PaSST network.

    Parameters
    ----------
    arch : str
        One of `ARCHITECTURES`. The weights are random until a state dict is loaded.

    """

    def __init__(self, *, arch: str) -> None:
        super().__init__()
        if arch not in ARCHITECTURES:
            raise ValueError(f"unknown architecture {arch!r}; known: {', '.join(ARCHITECTURES)}")
        architecture = ARCHITECTURES[arch]
        self.arch = arch
        self.window = round(architecture.window_seconds * SAMPLE_RATE)  # samples
        self.hop = round(HOP_SECONDS * SAMPLE_RATE)  # samples
        self.embedding_size = architecture.embedding_size
        self.mel = MelFrontEnd()
        self.net = _build_net(arch, architecture)
        for block in self.net.blocks:
            block.attn = _FusedAttention.like(block.attn)
        self.net.blocks[-1] = _LastBlock(self.net.blocks[-1])

    def forward(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """Tag windows of sound.

        Parameters
        ----------
        windows : Tensor, shape (B, S), float32
            Mono sound at 32 kHz, in [-1, 1]; `architectures.MIN_SAMPLES` <= S <= `self.window`.

        Returns
        -------
        logits : Tensor, shape (B, 527), float32
            Before the sigmoid, in the order of AudioSet's class indices.
        scene : Tensor, shape (B, E), float32

        """
        with _of_any_length():
            logits, scene = self.net(self._images(windows))
        return logits.float(), scene.float()

    def forward_cells(self, windows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tag windows of sound, and each half second of them, hardly slower than `forward`.

        Every cell has class tokens of its own. They go through all blocks beside the other tokens,
        and attend to themselves and to the patches around the cell alone. So they say what a window
        of `architectures.HEARD_SECONDS` would, but its patches know the sound around them. The
        other tokens do not attend to them.

        Parameters
        ----------
        windows : Tensor, shape (B, S), float32
            See `forward`.

        Returns
        -------
        logits : Tensor, shape (B, 527), float32
        scene : Tensor, shape (B, E), float32
            Both as `forward` returns them, but for rounding.
        cells : Tensor, shape (B, G, 527 + E), float32
            Logits and scene embedding of each cell; G = ceil(S / (sample rate · `CELL_SECONDS`)).

        """
        with _of_any_length():
            patches = self.net.patch_embed(self._images(windows))
        bands, steps = patches.shape[2:]
        patches = patches + self.net.time_new_pos_embed[..., :steps] + self.net.freq_new_pos_embed
        cells = _patches_of_cells(
            math.ceil(windows.shape[1] / (CELL_SECONDS * SAMPLE_RATE)),
            bands=bands,
            steps=steps,
            stride=self.net.patch_embed.stride[1],
        ).to(windows.device)
        tokens = self.net.cls_token + self.net.new_pos_embed[:, :1]
        if self.net.dist_token is not None:
            tokens = torch.cat([tokens, self.net.dist_token + self.net.new_pos_embed[:, 1:]], dim=1)
        parts = [tokens, patches.flatten(2).transpose(1, 2), tokens.repeat(1, len(cells), 1)]
        batch, of_class = len(windows), tokens.shape[1]
        x = torch.cat([part.expand(batch, -1, -1) for part in parts], dim=1)
        for block in self.net.blocks:
            last = block is self.net.blocks[-1]
            x = _block_with_cells(block, x, cells, tokens=of_class, last=last)
        scenes = self.net.norm(x).unflatten(1, (1 + len(cells), of_class)).mean(dim=2)
        logits = self.net.head(scenes)
        rows = torch.cat([logits, scenes], dim=2).float()
        return logits[:, 0].float(), scenes[:, 0].float(), rows[:, 1:]

    def _images(self, windows: Tensor) -> Tensor:
        """Compute the network's input: (B, S) ─► (B, 1, 128, T)."""
        # Differences of large numbers and a logarithm must not be computed in half precision.
        with torch.autocast(windows.device.type, enabled=False):
            return self.mel(windows.float()).unsqueeze(1)

    def load_weights(self, state: dict[str, Tensor]) -> None:
        """Load the network's weights, in the form of the official files or of our own.

        Raises
        ------
        ValueError
            If names or shapes do not fit the architecture.

        """
        if "time_new_pos_embed" not in state:
            raise ValueError("these are not the weights of a PaSST: they lack time_new_pos_embed")
        try:
            state = hear21.checkpoint_filter_fn(state, self.net)
            self.net.load_state_dict(state, strict=True)
        except (RuntimeError, KeyError, AttributeError) as error:
            raise ValueError(
                f"these weights do not fit the architecture {self.arch}: {error}"
            ) from None


class MelFrontEnd(AugmentMelSTFT):
    """hear21passt's log-mel spectrogram in evaluation mode, with the filterbank kept.

    The original rebuilds the filterbank, and draws from the global random state, at every call.
    """

    def __init__(self) -> None:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints fmax
            super().__init__(
                n_mels=128, sr=SAMPLE_RATE, win_length=800, hopsize=FRAME_HOP, n_fft=1024,
                freqm=0, timem=0, fmin=0.0, fmax=None, fmin_aug_range=10, fmax_aug_range=2000,
            )  # fmt: skip
        filterbank, _ = torchaudio.compliance.kaldi.get_mel_banks(
            self.n_mels, self.n_fft, self.sr, self.fmin, self.fmax, 100.0, -500.0, 1.0
        )
        self.register_buffer("filterbank", F.pad(filterbank, (0, 1)), persistent=False)

    def forward(self, windows: Tensor) -> Tensor:
        """Compute normalised log-mel spectrograms: (B, S) ─► (B, 128, T), 100 frames a second."""
        emphasised = torch.add(windows[:, 1:], windows[:, :-1], alpha=-_PREEMPHASIS)
        spectrum = torch.stft(
            emphasised,
            self.n_fft,
            hop_length=self.hopsize,
            win_length=self.win_length,
            window=self.window,
            center=True,
            return_complex=True,
        )
        power = spectrum.real.square() + spectrum.imag.square()
        return ((self.filterbank @ power + 1e-5).log() + 4.5) / 5.0


class _FusedAttention(hear21.Attention):
    """The same attention, without the maps of all heads in memory at once.

    It uses PyTorch's kernel or, for inference on a CPU, oneDNN head by head: there the faster
    products save more time than the kernel does.
    """

    @classmethod
    def like(cls, attention: hear21.Attention) -> "_FusedAttention":
        width = attention.proj.in_features
        fused = cls(width, attention.num_heads, qkv_bias=attention.qkv.bias is not None)
        fused.load_state_dict(attention.state_dict())
        return fused

    def forward(self, x: Tensor, *, first: int | None = None) -> Tensor:
        """Attend to all tokens: (B, N, E) ─► (B, N, E), or (B, first, E) for the first ones."""
        query, key, value = self.split(x)
        return self.proj(self.attend(query[:, :, :first], key, value))

    def split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Project tokens, (B, N, E), to queries, keys and values, (B, H, N, D) each."""
        batch, tokens, width = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.num_heads, width // self.num_heads)
        return qkv.permute(2, 0, 3, 1, 4).unbind()

    @staticmethod
    def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attend: (B, H, M, D), (B, H, N, D) twice ─► (B, M, E)."""
        if onednn.uses_onednn(query) and not torch.is_grad_enabled():
            return _attend_by_head(query, key, value).flatten(2)
        return F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)


class _LastBlock(nn.Module):
    """A last block for the class and distillation tokens alone: the others are not read.

    Parameters
    ----------
    block : hear21.Block
        The block whose parts are used, with their weights and under their names.

    """

    def __init__(self, block: hear21.Block) -> None:
        super().__init__()
        self.norm1, self.attn, self.drop_path = block.norm1, block.attn, block.drop_path
        self.norm2, self.mlp = block.norm2, block.mlp

    def forward(self, x: Tensor) -> Tensor:
        tokens = 2
        x = x[:, :tokens] + self.drop_path(self.attn(self.norm1(x), first=tokens))
        return x + self.drop_path(self.mlp(self.norm2(x)))


def _patches_of_cells(count: int, *, bands: int, steps: int, stride: int) -> Tensor:
    """List the patches that each cell attends to, (G, P); -1 where a cell has fewer than others.

    A patch belongs to a cell if its middle is at most half of `HEARD_SECONDS` from the cell's.
    """
    frames = SAMPLE_RATE / FRAME_HOP  # a second
    middles = (torch.arange(steps) * stride + PATCH / 2) / frames
    of_cell = (torch.arange(count) + 0.5) * CELL_SECONDS
    distance = (middles - of_cell[:, None]).abs()
    near = distance <= torch.maximum(
        torch.tensor(HEARD_SECONDS / 2), distance.min(dim=1, keepdim=True).values
    )
    heard = torch.where(near, torch.arange(steps), -1)  # (G, steps)
    heard = heard.sort(dim=1, descending=True).values[:, : near.sum(dim=1).max()]
    patches = torch.arange(bands)[:, None, None] * steps + heard  # in the order of the tokens
    return torch.where(heard >= 0, patches, -1).permute(1, 0, 2).flatten(1)


def _block_with_cells(
    block: nn.Module, x: Tensor, cells: Tensor, *, tokens: int, last: bool
) -> Tensor:
    """Apply a block to class tokens, patches and the class tokens of cells: (B, N, E).

    Parameters
    ----------
    cells : Tensor, shape (G, P)
        See `_patches_of_cells`.
    tokens : int
        C, class tokens of the window and of each cell.
    last : bool
        Return the class tokens alone, (B, (1 + G) · C, E): nothing else is read any more.

    """
    attention, others = block.attn, x.shape[1] - len(cells) * tokens
    query, key, value = attention.split(block.norm1(x))
    first = tokens if last else others
    of_window = attention.attend(query[:, :, :first], key[:, :, :others], value[:, :, :others])

    def of_cells(part: Tensor) -> Tensor:  # (B, H, G, C, D)
        return part[:, :, others:].unflatten(2, (len(cells), tokens))

    def heard(part: Tensor) -> Tensor:  # (B, H, G, C + P, D)
        patches = part[:, :, tokens:others][:, :, cells.clamp(min=0)]
        return torch.cat([of_cells(part), patches], dim=3)

    allowed = F.pad(cells >= 0, (tokens, 0), value=True)[:, None]  # (G, 1, C + P)
    attended = F.scaled_dot_product_attention(
        of_cells(query), heard(key), heard(value), attn_mask=allowed
    )
    attended = torch.cat([of_window, attended.permute(0, 2, 3, 1, 4).flatten(3).flatten(1, 2)], 1)
    if last:
        x = torch.cat([x[:, :tokens], x[:, others:]], dim=1)
    x = x + attention.proj(attended)
    return x + block.mlp(block.norm2(x))


def _attend_by_head(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attend one head of one window at a time: (B, H, M, D), (B, H, N, D) twice ─► (B, M, H, D)."""
    batch, heads, tokens, size = query.shape
    query = (query * size**-0.5).contiguous()
    key = key.contiguous()
    value = value.transpose(2, 3).contiguous()
    attended = query.new_empty(batch, tokens, heads, size)
    rows = max(1, _MAP_NUMBERS // key.shape[2])
    for window in range(batch):
        for head in range(heads):
            for start in range(0, tokens, rows):
                part = slice(start, start + rows)
                weights = onednn.linear(query[window, head, part], key[window, head])
                attended[window, part, head] = onednn.linear(
                    weights.softmax(dim=-1), value[window, head]
                )
    return attended


def _build_net(arch: str, architecture: Architecture) -> hear21.PaSST:
    hear21.first_RUN = False  # else the first forward pass prints every shape
    if architecture.weights_url is None:
        return hear21.PaSST(num_classes=CLASSES, **architecture.arguments)
    with contextlib.redirect_stdout(io.StringIO()):  # it prints the whole network
        return hear21.get_model(arch=arch, pretrained=False, **architecture.arguments)
