"""The integrated loudness of sounds (ITU-R BS.1770-4, EBU R 128), by FFmpeg's `ebur128`.

pyloudnorm is no faster, holds a sound whole, and takes five channels at most.

Shapes: N samples, C channels.
"""

from fractions import Fraction

import av
import numpy as np
from av.filter import Graph
from numpy.typing import NDArray

from utils.audio.sound import Sound

# In LUFS. What FFmpeg gives where no 400 ms are above the absolute gate, and where its scale ends:
# such samples are no sound at full scale 1.
_GATE, _TOP = -70.0, 9.9
_RATES = range(8_000, 192_001)  # Hz; others are resampled: the filters need 3.4 kHz, and 3 s room
_RESAMPLED = 48_000
_MOST_CHANNELS = 64
# Layouts that the standard weighs, where a file does not say that it has another.
_USUAL = {1: "mono", 2: "stereo", 5: "5.0", 6: "5.1"}
_RESULT = "lavfi.r128.I"


class Loudness:
    """The integrated loudness of a sound, measured block by block in bounded memory.

    Channels are weighed by their places as the standard has it: LFE does not count, and those at
    the side and behind count 1.5 dB more. Those without a place count alike.

    Examples
    --------
    >>> time = np.arange(96_000) / 48_000
    >>> sine = 10 ** (-23 / 20) * np.sin(2 * np.pi * 997 * time)
    >>> loudness = Loudness(48_000, 2)
    >>> loudness.add(np.stack([sine, sine], axis=1).astype(np.float32))
    >>> round(loudness.finish(), 1)
    -23.0

    """

    def __init__(self, rate: int, channels: int, layout: str | None = None) -> None:
        self._rate, self._samples = rate, 0
        self._layout = layout or _USUAL.get(channels, f"{channels} channels")
        self._found = _GATE
        self._graph = None if channels > _MOST_CHANNELS else self._configured()

    @classmethod
    def of(cls, sound: Sound) -> "Loudness":
        """Begin to measure an open sound."""
        return cls(sound.samplerate, sound.channels, sound.layout)

    def add(self, samples: NDArray[np.float32]) -> None:
        """Take in a block, shape (N, C)."""
        if self._graph is None or not len(samples):
            return
        if not np.isfinite(samples).all():
            self._graph = None
            return
        packed = np.ascontiguousarray(samples).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=self._layout)
        frame.sample_rate, frame.pts = self._rate, self._samples
        self._samples += len(samples)
        self._push(self._graph, frame)

    def finish(self) -> float | None:
        """Return the loudness in LUFS, when all is taken in.

        None if there is none: for less than 400 ms, for what is never louder than -70 LUFS, for
        samples that are not finite or far above full scale, and for more than 64 channels.
        """
        if self._graph is not None:
            self._push(self._graph, None)
        return self._found if self._graph is not None and _GATE < self._found < _TOP else None

    def _configured(self) -> Graph:
        graph = Graph()
        source = graph.add_abuffer(
            sample_rate=self._rate,
            format="flt",
            layout=self._layout,
            time_base=Fraction(1, self._rate),
        )
        filters = [graph.add("ebur128", "metadata=1:framelog=quiet"), graph.add("abuffersink")]
        if self._rate not in _RATES:
            filters.insert(0, graph.add("aresample", str(_RESAMPLED)))
        graph.link_nodes(source, *filters).configure()
        return graph

    def _push(self, graph: Graph, frame: av.AudioFrame | None) -> None:
        graph.push(frame)
        while True:
            try:
                measured = graph.pull().metadata  # after each 100 ms
            except (av.BlockingIOError, av.EOFError):
                return
            self._found = float(measured.get(_RESULT, self._found))
