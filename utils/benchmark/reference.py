"""The references of scripts/benchmark.py: each stage in plain code, one item at a time, in fp32.

Written to work as the public baseline of DCASE 2022 Task 6b does (Xie et al.,
https://github.com/xieh97/dcase2022-audio-retrieval), on which the original system is built: a data
set over a pandas table that looks up two HDF5 datasets per pair, a DataLoader, a loss that loops
over the pairs of a batch, and after each epoch losses and scores on all splits.

Shapes: P pairs, C clips, B batch, F audio numbers, D dimension of the space.
"""

import contextlib
import io
import random
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import pandas as pd
import torch
from hear21passt.models.passt import get_model
from hear21passt.models.preprocess import AugmentMelSTFT
from hear21passt.wrapper import PasstBasicWrapper
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset


class PlainPairs(Dataset):
    """Pairs of a split, each read on access from two HDF5 files, which are first written.

    Parameters
    ----------
    folder : Path
    features : Tensor, shape (C, F)
    sentences : Tensor, shape (P, D)
    clips : Tensor, shape (P,), int

    """

    def __init__(self, folder: Path, features: Tensor, sentences: Tensor, clips: Tensor) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.files = []
        for name, vectors in (("audio", features), ("text", sentences)):
            path = folder / f"{name}.hdf5"
            with h5py.File(path, "w") as file:
                for row, vector in enumerate(vectors.cpu().numpy()):
                    file[str(row)] = vector
            self.files.append(h5py.File(path, "r"))
        self.table = pd.DataFrame(
            {
                "cid": [str(cid) for cid in range(len(clips))],
                "fid": [str(fid) for fid in clips.tolist()],
                "original": [f"caption {cid}" for cid in range(len(clips))],
            }
        )

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, dict[str, Any]]:
        item = self.table.iloc[index]
        audio, text = self.files
        return (
            torch.as_tensor(audio[item["fid"]][()]),
            torch.as_tensor(text[item["cid"]][()]),
            {"cid": item["cid"], "fid": item["fid"], "caption": item["original"]},
        )

    def batches(self, size: int, *, generator: torch.Generator) -> DataLoader:
        """Read batches of pairs in random order."""

        def collate(items: list) -> tuple[Tensor, Tensor, list[str]]:
            audio, text, about = zip(*items, strict=True)
            return torch.stack(audio), torch.stack(text), [info["fid"] for info in about]

        return DataLoader(
            self, batch_size=size, shuffle=True, collate_fn=collate, generator=generator
        )


class PlainModel(nn.Module):
    """The dual encoder in plain code; tag embeddings are computed at every call.

    Parameters
    ----------
    model : nn.Module
        A `models.dual_encoder.DualEncoder`, whose weights are copied to the CPU.

    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        theirs = model.audio_projection
        self.norm = nn.LayerNorm(theirs.in_features)
        self.projection = nn.Linear(theirs.in_features, theirs.out_features)
        self.norm.load_state_dict(model.audio_norm.state_dict())
        self.projection.load_state_dict(theirs.state_dict())
        self.tag_table, self.ratio = model.tag_table.cpu(), model.ratio

    def forward(self, logits: Tensor, sentences: Tensor) -> tuple[Tensor, Tensor]:
        """Embed clips and captions: (B, F), (B, D) ─► (B, D) twice."""
        audio = F.normalize(self.projection(self.norm(logits)), dim=-1)
        probabilities = logits.sigmoid()
        tags = probabilities @ self.tag_table / probabilities.sum(dim=-1, keepdim=True)
        tags = F.normalize(tags, dim=-1)
        audio = F.normalize(self.ratio * audio + (1 - self.ratio) * tags, dim=-1)
        return audio, F.normalize(F.layer_norm(sentences, sentences.shape[-1:]), dim=-1)


class PlainTraining:
    """Training, one pair of the loss at a time."""

    def __init__(self, model: PlainModel, *, margin: float, batch_size: int, seed: int) -> None:
        self.model, self.margin, self.batch_size = model, margin, batch_size
        self.optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        self.generator = torch.Generator().manual_seed(seed)
        self.rng = random.Random(seed)

    def train(self, pairs: PlainPairs) -> float:
        """Go once over all pairs; returns the mean loss of the batches."""
        total, batches = 0.0, pairs.batches(self.batch_size, generator=self.generator)
        for logits, sentences, clips in batches:
            self.optimizer.zero_grad()
            loss = self.loss(*self.model(logits, sentences), clips)
            loss.backward()
            self.optimizer.step()
            total += loss.item()
        return total / len(batches)

    @torch.no_grad()
    def measure(self, pairs: PlainPairs) -> float:
        """Compute the mean loss of the batches."""
        batches = pairs.batches(self.batch_size, generator=self.generator)
        losses = [self.loss(*self.model(*vectors), clips).item() for *vectors, clips in batches]
        return sum(losses) / len(losses)

    def loss(self, audio: Tensor, text: Tensor, clips: list[str]) -> Tensor:
        """Compute the triplet loss pair by pair; impostors are drawn until they fit."""
        total = torch.zeros(())
        if len(set(clips)) < 2:
            return total
        for i in range(len(clips)):
            j, k = self.impostor(clips, i), self.impostor(clips, i)
            own = audio[i] @ text[i]
            total = total + (self.margin + audio[i] @ text[j] - own).clamp(min=0)
            total = total + (self.margin + audio[k] @ text[i] - own).clamp(min=0)
        return total / len(clips)

    def impostor(self, clips: list[str], i: int) -> int:
        """Draw a pair of another clip."""
        while clips[other := self.rng.randrange(len(clips))] == clips[i]:
            pass
        return other


@torch.no_grad()
def embed_pairs(model: PlainModel, pairs: PlainPairs) -> tuple[Tensor, Tensor, list[int]]:
    """Embed pair by pair, a clip once for each caption: (C, D), (P, D), and P rows of clips."""
    audio, text, clips = {}, [], []
    for index in range(len(pairs)):
        logits, sentence, about = pairs[index]
        clips.append(int(about["fid"]))
        audio[clips[-1]], of_caption = model(logits[None], sentence[None])
        text.append(of_caption)
    return torch.cat([audio[clip] for clip in sorted(audio)]), torch.cat(text), clips


def rank_and_score(
    audio: Tensor, text: Tensor, clips: list[int]
) -> tuple[list[int], dict[str, float]]:
    """Rank query by query by sorting a dict of scores, then score the ten best: ranks, metrics."""
    ranks, found = [], []
    for vector, own in zip(text, clips, strict=True):
        scores = {str(clip): score for clip, score in enumerate((audio @ vector).tolist())}
        order = sorted(scores, key=scores.get, reverse=True)
        ranks.append(order.index(str(own)) + 1)
        found.append(order[:10])
    hits = dict.fromkeys((1, 5, 10), 0)
    precision = 0.0
    for names, own in zip(found, clips, strict=True):
        for k in hits:
            hits[k] += str(own) in names[:k]
        if str(own) in names:
            precision += 1 / (names.index(str(own)) + 1)
    count = len(clips)
    recalls = {f"R@{k}": hit / count for k, hit in hits.items()}
    return ranks, {**recalls, "mAP@10": precision / count}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppress the output and warnings of hear21passt."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def plain_passt(arch: str) -> PasstBasicWrapper:
    """Build hear21passt's own model with random weights: mel front end and network."""
    with quiet():
        mel = AugmentMelSTFT(
            n_mels=128, sr=32000, win_length=800, hopsize=320, n_fft=1024, freqm=48, timem=192,
            htk=False, fmin=0.0, fmax=None, norm=1, fmin_aug_range=10, fmax_aug_range=2000,
        )  # fmt: skip
        return PasstBasicWrapper(mel=mel, net=get_model(arch=arch, pretrained=False)).eval()
