"""Which files are sounds: by their ending, or by their first bytes if the ending says nothing."""

import mimetypes
import re
from pathlib import Path

from utils.audio.sound_file import UnusableSound, open_sound
from utils.runtime.errors import UnreadableError, is_shortage, is_unanswered

# Files with these endings are sounds, even if they turn out to be damaged.
SUFFIXES = {
    ".8svx", ".aac", ".ac3", ".adts", ".aif", ".aifc", ".aiff", ".amb", ".amr", ".ape", ".au",
    ".avr", ".awb", ".bw64", ".bwf", ".caf", ".dff", ".dsf", ".dts", ".eac3", ".flac", ".gsm",
    ".htk", ".ircam", ".m4a", ".m4b", ".m4r", ".mat4", ".mat5", ".mka", ".mp1", ".mp2", ".mp3",
    ".mpa", ".mpc", ".mpc2k", ".mpga", ".nist", ".oga", ".ogg", ".opus", ".paf", ".pvf", ".qcp",
    ".ra", ".rf64", ".sd2", ".sds", ".sf", ".snd", ".sph", ".spx", ".svx", ".tak", ".tta", ".voc",
    ".sox", ".w64", ".wav", ".wave", ".wavex", ".weba", ".wma", ".wv", ".wve", ".xi",
}  # fmt: skip
# Films, which are sounds if they have a sound track.
_FILMS = {
    ".3g2", ".3gp", ".asf", ".avi", ".f4v", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4",
    ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".qt", ".rm", ".ts", ".vob", ".webm", ".wmv",
}  # fmt: skip
ENDINGS = SUFFIXES | _FILMS  # of all that may hold sound
_KINDS = mimetypes.MimeTypes()
_UNKNOWN_KINDS = (None, "application/octet-stream")
# How files begin that FFmpeg or libsndfile may read.
_PLAUSIBLE = re.compile(
    rb"RIF[FX]|RF64|BW64|riff|FORM|FRM8|caff|fLaC|OggS|ID3|\.snd|dns\.|Creative V|NIST_1A|2BIT"
    rb"|ALaw|P[VR]F1| paf|fap |\x64\xa3|\x00\x01\xa3\x64|MATL|Extended I|\xf0~|\xff[\xe2-\xff]"
    rb"|....(?:ftyp|moov|mdat|wide|free|skip|pnot)|\x1aE\xdf\xa3|0&\xb2u\x8ef\xcf\x11|#!AMR|wvpk"
    rb"|TTA[12]|MAC |MPCK|MP\+|tBaK|ajkg|\x0bw|w\x0b|\x7f\xfe\x80\x01|\xfe\x7f\x01\x80|DSD |\.RMF"
    rb"|\.ra\xfd|FLV\x01|\x00\x00\x01\xba|\x00{0,4}G.{187}G|\x06\x0e\x2b\x34|qoaf|#!SILK",
    re.DOTALL,
)
_HEAD = 512  # bytes


def is_sound(path: Path) -> bool:
    """Return whether a file is a sound, or should be one.

    A file with an ending of sound is; one with the ending of a text, a picture or a program is not.
    A film is if it has a sound track. Any other file is opened, and is one if it can be decoded. It
    is also one if its disk does not answer, so that it is not skipped.

    Raises
    ------
    OSError
        If memory or descriptors run out.

    """
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return True
    if suffix not in _FILMS and _KINDS.guess_type(f"a{suffix}")[0] not in _UNKNOWN_KINDS:
        return False
    return _can_be_decoded(path)


def _can_be_decoded(path: Path) -> bool:
    try:
        if not path.is_file():  # a pipe would wait
            return False
        with path.open("rb") as file:
            if not _PLAUSIBLE.match(file.read(_HEAD)):
                return False
        with open_sound(path, accept_truncated=True):
            return True
    except UnreadableError:
        return True
    except UnusableSound:
        return False
    except OSError as error:
        if is_shortage(error):
            raise
        return is_unanswered(error)
