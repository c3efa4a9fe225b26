"""A sound file of any format ─► what it says about itself."""

from pathlib import Path
from typing import BinaryIO

from utils.audio.metadata import aiff, riff, tags
from utils.audio.metadata.gathering import Gathering, SoundMetadata
from utils.audio.parts import Part
from utils.audio.sound_file import opened

_HEAD_BYTES = 16
_OTHERS = (b"RIFF", b"FORM")  # avi, 8svx ...; mutagen takes them for wav and AIFF
_QUICKTIME = b"ftypqt  "  # which has its own form of tags


def read_metadata(path: Path, *, source: BinaryIO | None = None) -> SoundMetadata:
    """Read the texts and markers of a sound file.

    The sound itself is not read, and the memory is bounded. Whatever is damaged is noted in the
    result, with all that can be read of it. `check_sound_file` says whether `path` may be opened.

    Parameters
    ----------
    path : Path
        In any format. RIFF, RF64, Wave64 and AIFF are read here, tags of mp3, flac, Ogg, mp4, wma,
        APE and WavPack by mutagen, and those of other formats, such as Matroska and caf, by FFmpeg.
    source : BinaryIO, optional
        The same file if it is open already. Its place is not kept.

    Raises
    ------
    UnusableSound
        If the file cannot be opened.
    UnreadableError
        If its disk does not answer: nothing is known about the file.
    OSError
        If memory or descriptors run out.

    Examples
    --------
    >>> import tempfile, soundfile
    >>> with tempfile.NamedTemporaryFile(suffix=".wav") as file:
    ...     with soundfile.SoundFile(file.name, "w", 32_000, 1) as sound:
    ...         sound.title = "Rain on a tin roof"
    ...     read_metadata(Path(file.name)).fields[0]
    ('title', 'Rain on a tin roof')

    """
    found = Gathering()
    with opened(path, source) as file:
        part = Part(file)
        head = part.read(_HEAD_BYTES)
        if riff.is_riff(head):
            id3 = riff.read_riff(part, found)
        elif aiff.is_aiff(head):
            id3 = aiff.read_aiff(part, found)
        else:
            id3 = None
            other = head.startswith(_OTHERS) or head[4:12] == _QUICKTIME
            if other or not tags.read_tags(part, path.name, found):
                _ask_ffmpeg(part, found)
        if id3 is not None:
            tags.read_id3(id3, found)
    return found.result()


def _ask_ffmpeg(file: Part, found: Gathering) -> None:
    from utils.audio import ffmpeg  # takes a moment

    try:
        texts, chapters, rate = ffmpeg.read_tags(file)
    except ffmpeg.Undecodable:
        return  # it cannot be read as a sound either, which is said elsewhere
    except MemoryError:  # so FFmpeg words some damages, too
        found.note("the tags cannot be read (out of memory)")
        return
    tags.add_plain(texts, rate, found)
    for seconds, title in chapters:
        found.mark(seconds, title)
