"""Log-mel spectrograms as the original system computes them."""

import itertools
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

MELS = 64
_WINDOW_MS, _HOP_MS = 40, 20
_FMIN, _FMAX = 12.0, 8000.0  # Hz
_LOG_OFFSET = float(np.finfo(float).eps)
PARAMETERS = {
    "sample_rate": "of each file",
    "window": "hann",
    "window_ms": _WINDOW_MS,
    "hop_ms": _HOP_MS,
    "power": 2.0,
    "mels": MELS,
    "mel_scale": "slaney",
    "fmin": _FMIN,
    "fmax": _FMAX,
    "log_offset": _LOG_OFFSET,
}
# In Hz. At 1650 and less, mel bands are narrower than the bins of the FFT, and stay empty.
LOWEST_RATE = 2000
SECONDS_AT_ONCE = 60  # bounds the memory


def log_mel(
    blocks: Iterable[NDArray[np.float32]], *, sample_rate: int
) -> Iterator[NDArray[np.float32]]:
    """Compute the log-mel spectrogram of the original system, a minute at a time.

    A window is 40 ms long and starts every 20 ms, both rounded to whole samples (a half to the even
    one). The FFT has the next power of two. The 64 mel bands reach from 12 Hz to 8 kHz, or to half
    the sample rate if that is less. All else is librosa's default: a periodic Hann window, frames
    centred on every hop in a signal padded with zeros, power spectra, and mel bands of equal area
    on Slaney's scale.

    Parameters
    ----------
    blocks : iterable of ndarray, float32
        The clip, N samples in pieces of any length.
    sample_rate : int
        In Hz.

    Yields
    ------
    ndarray, float32, together of shape (T, 64)
        log(mel + 2.2e-16), the natural logarithm; T = floor(N / hop) + 1.

    """
    from librosa.feature import melspectrogram  # takes seconds to import

    window = round(sample_rate * _WINDOW_MS / 1000)
    hop = round(sample_rate * _HOP_MS / 1000)
    fft = 1 << (window - 1).bit_length()
    at_once = 1000 * SECONDS_AT_ONCE // _HOP_MS  # frames
    held = np.empty(0, np.float32)
    padding = np.zeros(fft // 2, np.float32)

    def spectra(samples: NDArray[np.float32]) -> NDArray[np.float32]:
        mel = melspectrogram(
            y=samples,
            sr=sample_rate,
            n_fft=fft,
            win_length=window,
            hop_length=hop,
            center=False,
            n_mels=MELS,
            fmin=_FMIN,
            fmax=min(_FMAX, sample_rate / 2),
        )
        return np.ascontiguousarray(np.log(mel + _LOG_OFFSET).T, dtype=np.float32)

    for block in itertools.chain([padding], blocks, [padding]):
        held = np.concatenate([held, block])
        while len(held) >= (needed := fft + (at_once - 1) * hop):
            yield spectra(held[:needed])
            held = held[at_once * hop :]
    if len(held) >= fft:
        yield spectra(held)
