"""The layouts of demo sets: where clips and captions are, and what they are called.

A layout has the oddities of the real data set, so that code that reads the real one is tested on
them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from utils.datasets import audiocaps, clotho
from utils.datasets.sound_checks import PREFERRED
from utils.datasets.splits import SPLITS
from utils.demo.scenes.captions import CAPTIONS
from utils.demo.scenes.names import NUMBER_START, NUMBER_STEP, clip_name
from utils.demo.scenes.scene import FLOOR_DB, Scene

Rows = list[list[str]]

# In AudioCaps the rows of a clip are not together, ids may begin with - or _, some sounds are flac
# files, and many are missing.
_ID_NUMBERS = 999_983  # a prime: the step reaches each of them, in six digits
_ID_LEADS = "-SSSS_SSSS"  # by index, and again from the start
_FLAC_EVERY, _FLAC_AT = 4, 1
_GONE_EVERY, _GONE_AT = 32, 19
_START_SECONDS = 10
_STARTS = 48


@dataclass(frozen=True)
class Layout:
    """The layout of a demo set.

    Attributes
    ----------
    first_stream : int
        Number of the random stream of the first split; no two layouts share a stream.
    captions : tuple of int
        Captions of each clip, by split.
    audio_folder, captions_csv : str
        Paths below the data set's folder; ``{split}`` is replaced by the split.
    line_ends : tuple of str
        Of the CSVs, by split.
    file_name : callable
        Scene, number of the split and of the clip ─► file name.
    is_gone : callable
        Number of the clip ─► whether it has captions but no file.
    table : callable
        File names with captions, and a generator ─► header and rows of the CSV.
    noise_db : tuple of float
        Level of the noise in each clip, as that of events, lowest and highest.

    """

    name: str
    splits: tuple[str, ...]
    first_stream: int
    captions: tuple[int, ...]
    audio_folder: str
    captions_csv: str
    line_ends: tuple[str, ...]
    file_name: Callable[[Scene, int, int], str]
    is_gone: Callable[[int], bool]
    table: Callable[[Sequence[tuple[str, list[str]]], np.random.Generator], Rows]
    noise_db: tuple[float, float] = FLOOR_DB


def _clotho_table(clips: Sequence[tuple[str, list[str]]], _: np.random.Generator) -> Rows:
    return [clotho.caption_header(CAPTIONS), *([name, *captions] for name, captions in clips)]


def _audiocaps_name(_: Scene, split_index: int, index: int) -> str:
    """Name a clip {youtube_id}_{start_time}.{wav,flac}; the id says that it is synthetic."""
    place = index * len(audiocaps.SPLITS) + split_index
    number = (NUMBER_START + NUMBER_STEP * place) % _ID_NUMBERS
    youtube_id = f"{_ID_LEADS[index % len(_ID_LEADS)]}ynth{number:06}"
    start = index % _STARTS * _START_SECONDS
    suffix = PREFERRED[index % _FLAC_EVERY == _FLAC_AT]
    return f"{youtube_id}_{start}{suffix}"


def _audiocaps_table(clips: Sequence[tuple[str, list[str]]], rng: np.random.Generator) -> Rows:
    rows = []
    for name, captions in clips:
        youtube_id, _, start = name.rpartition(".")[0].rpartition("_")
        rows += [[youtube_id, start, caption] for caption in captions]
    return [
        audiocaps.HEADER,
        *([str(1 + place), *rows[place]] for place in rng.permutation(len(rows)).tolist()),
    ]


CLOTHO = Layout(
    name="clotho",
    splits=SPLITS,
    first_stream=0,
    captions=(CAPTIONS,) * 3,
    audio_folder="{split}",
    captions_csv="clotho_captions_{split}.csv",
    line_ends=("\r\n", "\r\n", "\n"),  # as in Clotho v2.1
    file_name=lambda scene, split_index, index: clip_name(scene, SPLITS[split_index], index),
    is_gone=lambda index: False,
    table=_clotho_table,
)
AUDIOCAPS = Layout(
    name="audiocaps",
    splits=audiocaps.SPLITS,
    first_stream=len(SPLITS),
    captions=(1, CAPTIONS, CAPTIONS),
    audio_folder="audio/{split}",
    captions_csv="{split}.csv",
    line_ends=("\n",) * 3,
    file_name=_audiocaps_name,
    is_gone=lambda index: index % _GONE_EVERY == _GONE_AT,
    table=_audiocaps_table,
)
HARD = replace(CLOTHO, name="hard", first_stream=2 * len(SPLITS), noise_db=(-42.0, -30.0))
LAYOUTS = {layout.name: layout for layout in (CLOTHO, AUDIOCAPS, HARD)}
