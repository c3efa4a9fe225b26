"""Blocks of samples ─► overlapping windows."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

_LEAST_WEIGHT = 1e-6


def cut_windows(
    blocks: Iterable[NDArray[np.float32]],
    *,
    window: int,
    hop: int,
    shortest: int,
    at_once: int = 1,
) -> Iterator[NDArray[np.float32]]:
    """Cut a clip into the windows that PaSST takes.

    A clip of at most one window stays whole. A longer one is reflect-padded by half a window at
    both ends and cut every `hop` samples, as hear21passt's ``get_scene_embeddings`` does. Memory
    holds only the part that is being cut.

    Parameters
    ----------
    blocks : iterable of ndarray, float32
        The clip, N samples in pieces of any length.
    window, hop : int
        In samples; `window` is even, and `hop` shorter than its half.
    shortest : int
        A clip with fewer samples is padded with silence to this length.
    at_once : int
        Windows in each array; the last one may have fewer.

    Yields
    ------
    ndarray, shape (at_once, window), or once (1, N) for a short clip
        For a long clip read-only views, with W = floor(N / hop) + 1 windows in total.

    Examples
    --------
    >>> clip = np.arange(7, dtype=np.float32)
    >>> list(cut_windows([clip], window=8, hop=2, shortest=4))
    [array([[0., 1., 2., 3., 4., 5., 6.]], dtype=float32)]
    >>> print(np.concatenate(list(cut_windows([clip], window=6, hop=2, shortest=4))))
    [[3. 2. 1. 0. 1. 2.]
     [1. 0. 1. 2. 3. 4.]
     [1. 2. 3. 4. 5. 6.]
     [3. 4. 5. 6. 5. 4.]]

    """
    held = np.empty(0, np.float32)
    half = window // 2
    is_long = False

    def cut(count: int | None = None) -> NDArray[np.float32]:
        return np.lib.stride_tricks.sliding_window_view(held, window)[::hop][:count]

    for block in blocks:
        held = np.concatenate([held, block])
        if not is_long and len(held) > window:
            is_long = True
            held = np.concatenate([held[half:0:-1], held])
        while is_long and len(held) >= window + (at_once - 1) * hop:
            yield cut(at_once)
            held = held[at_once * hop :]
    if not is_long:
        yield np.pad(held, (0, max(0, shortest - len(held))))[None]
        return
    held = np.concatenate([held, held[-2 : -half - 2 : -1]])
    while len(held) >= window:
        yield cut(at_once)
        held = held[at_once * hop :]


def heard_weights(
    numbers: Sequence[int], *, window: float, hop: float, length: float
) -> NDArray[np.float32]:
    """Weigh windows of `cut_windows` by their share of sound that is not mirrored.

    A window of sound alone weighs 1. The weight falls to nearly 0 where a whole hop is mirrored:
    the window beside it then has all of that sound. So the mean over the windows hardly changes
    when a clip grows beyond one window, because further windows come in gradually.

    Parameters
    ----------
    numbers : sequence of W int
        Which windows, from 0.
    window, hop, length : float
        Of the windows and of the clip, all in samples or all in seconds.

    Returns
    -------
    ndarray, shape (W,), float32
        Above 0, because all windows of a part of a clip may be mirrored.

    Examples
    --------
    A clip of one window and half a hop:

    >>> heard_weights(range(5), window=8, hop=2, length=9)
    array([5.00e-07, 7.50e-07, 1.00e+00, 5.00e-01, 6.25e-07], dtype=float32)

    """
    if length <= window:
        return np.ones(len(numbers), np.float32)
    centres = hop * np.asarray(numbers)
    heard = np.minimum(centres + window / 2, length) - np.maximum(centres - window / 2, 0)
    weights = np.maximum(1 - (window - heard) / hop, _LEAST_WEIGHT * heard / window)
    return weights.astype(np.float32)
