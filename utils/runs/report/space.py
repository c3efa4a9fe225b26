"""The shared space on a plane.

Shapes: C clips, M of them shown, N captions, D dimension of the shared space.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from utils.runs.report.findings import Retrieval, top_tags

_SHOWN_CLIPS = 1500  # more would blot the map and take minutes of t-SNE
_COMPONENTS = 50
_NEIGHBOURS = 3  # clips that place a caption
_SHARPNESS = 0.03  # in cosine units: the lower, the more the nearest of them counts


@dataclass(frozen=True)
class SpaceMap:
    """Clips and captions in two dimensions, both in the unit square.

    Attributes
    ----------
    clips : ndarray, shape (M,)
        The clips shown: all, or a sample.
    clip_places : ndarray, shape (M, 2)
    captions : list of M arrays
        The captions of each.
    caption_places : list of M arrays of shape (captions, 2)
    group : ndarray, shape (M,), int
        Position in `group_names` of the most probable tag of each clip; -1 for all other tags.
    group_names : list of str
        The most common of these tags.

    """

    clips: NDArray[np.int64]
    clip_places: NDArray[np.float64]
    captions: list[NDArray[np.int64]]
    caption_places: list[NDArray[np.float64]]
    group: NDArray[np.int64]
    group_names: list[str]


def space_map(retrieval: Retrieval, labels: Sequence[str], *, groups: int, seed: int) -> SpaceMap:
    """Lay out the shared space on a plane.

    Clips are laid out by t-SNE (van der Maaten and Hinton, JMLR 2008), so that neighbours stay
    neighbours. A caption is placed among the three clips that it retrieves first: near its own
    clip if it finds it, and elsewhere if not. t-SNE of both together would show little more than
    the gap between sounds and texts. At most `groups` tags are distinguished, if there are logits.
    """
    total = len(retrieval.audio)
    clips = np.unique(np.linspace(0, total - 1, min(total, _SHOWN_CLIPS)).round().astype(int))
    places = _lay_out(retrieval.audio[clips], seed=seed)
    captions = [np.flatnonzero(retrieval.evaluation.clips == clip) for clip in clips]
    rows = np.concatenate(captions)
    scores = retrieval.text[rows] @ retrieval.audio[clips].T
    nearest = np.argsort(-scores, axis=1, kind="stable")[:, :_NEIGHBOURS]
    behind = np.take_along_axis(scores, nearest, axis=1) - scores.max(axis=1, keepdims=True)
    weights = np.exp(behind / _SHARPNESS)
    weights /= weights.sum(axis=1, keepdims=True)
    caption_places = np.einsum("nk,nkd->nd", weights, places[nearest])
    ends = np.cumsum([len(of_clip) for of_clip in captions])[:-1]
    group, names = _group(clips, retrieval, labels, groups)
    return SpaceMap(clips, places, captions, np.split(caption_places, ends), group, names)


def _group(
    clips: NDArray[np.int64], retrieval: Retrieval, labels: Sequence[str], groups: int
) -> tuple[NDArray[np.int64], list[str]]:
    if retrieval.logits is None:
        return np.full(len(clips), -1), []
    tag_of_clip = top_tags(retrieval.logits[clips], count=1)[:, 0]
    tags, counts = np.unique(tag_of_clip, return_counts=True)
    common = tags[np.argsort(-counts, kind="stable")][:groups].tolist()
    group = np.array([common.index(t) if t in common else -1 for t in tag_of_clip.tolist()])
    return group, [labels[tag] for tag in common]


def _lay_out(vectors: NDArray[np.float32], *, seed: int) -> NDArray[np.float64]:
    """Place vectors in the unit square: principal components, then t-SNE if there are enough."""
    from sklearn.manifold import TSNE  # slow to import, and only reports need it

    centred = vectors.astype(float) - vectors.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    axes = axes[:, ::-1][:, :_COMPONENTS]
    # Libraries differ in the sign of an axis: make its largest entry positive.
    largest = np.abs(axes).argmax(axis=0)
    components = centred @ (axes * np.sign(axes[largest, np.arange(axes.shape[1])]))
    places = components[:, :2]
    perplexity = min(30, (len(vectors) - 1) / 3)
    if perplexity >= 1:
        start = places / max(places[:, 0].std(), 1e-12) * 1e-4
        places = TSNE(
            perplexity=perplexity, init=start, random_state=seed % 2**32, max_iter=500
        ).fit_transform(components.astype(np.float32))
    places = places.astype(float)
    low, extent = places.min(axis=0), np.ptp(places, axis=0).max()
    return (places - low) / (extent or 1.0)
