"""PaSST: windows of sound ─► AudioSet logits and a scene embedding.

Wraps the network and the mel front end of ``hear21passt`` (Koutini et al., "Efficient training of
audio transformers with patchout", Interspeech 2022, https://arxiv.org/abs/2110.05069), with equal
numbers. The filterbank is computed once instead of at every call, and attention never stores the
N × N maps of all heads.

Shapes: B windows, S samples, T frames, E scene embedding dimension.
"""

import contextlib
import io
import sys
import warnings
from collections.abc import Iterator

import torch
import torchaudio
from torch import Tensor, nn
from torch.nn import functional as F

from models.architectures import (
    ARCHITECTURES,
    CLASSES,
    FRAME_HOP,
    HOP_SECONDS,
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
        # Differences of large numbers and a logarithm must not be computed in half precision.
        with torch.autocast(windows.device.type, enabled=False):
            mels = self.mel(windows.float())
        with warnings.catch_warnings():
            # Clips may be shorter than the window; the network cuts its time embedding.
            warnings.filterwarnings("ignore", message="Input image size")
            logits, scene = self.net(mels.unsqueeze(1))
        return logits.float(), scene.float()

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
        batch, tokens, width = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.num_heads, width // self.num_heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        query = query[:, :, :first]
        if onednn.uses_onednn(qkv) and not torch.is_grad_enabled():
            attended = _attend_by_head(query, key, value)
        else:
            attended = F.scaled_dot_product_attention(query, key, value).transpose(1, 2)
        return self.proj(attended.flatten(2))


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
