"""Templates ─► pages: nothing that they show is taken for HTML, or is what HTML cannot hold."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context

from utils.runs.report.figures import HUES, PALETTE

UNKNOWN = "not recorded (a file in the original system's layout)"
_FORBIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")  # control characters that HTML does not allow


@pass_context
def _score(context: Context, value: float) -> str:
    return f"{value:.{context['digits']}f}"


@pass_context
def _interval(context: Context, bounds: Sequence[float]) -> str:
    return "–".join(_score(context, bound) for bound in bounds)


_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters |= {"score": _score, "interval": _interval}


def render(template: str, *, digits: int, **values: Any) -> str:
    """Fill in a template, with scores of so many digits after the point."""
    written = _TEMPLATES.get_template(template).render(
        palette=PALETTE, hues=HUES, digits=digits, **values
    )
    # A damaged file name may hold half a surrogate pair, which UTF-8 cannot.
    return _FORBIDDEN.sub("\ufffd", written.encode("utf-8", "replace").decode())


def network_facts(audio: Mapping[str, Any], sentences: Mapping[str, Any]) -> dict[str, Any]:
    """Say which networks made vector files, by the files' attributes."""
    windows = UNKNOWN
    if "window_seconds" in audio:
        windows = f"{audio['window_seconds']:g} s, every {audio['hop_seconds']:g} s"
    return {
        "PaSST": audio.get("model", UNKNOWN),
        "weights of PaSST": audio.get("weights_sha256", UNKNOWN),
        "windows": windows,
        "precision of PaSST": audio.get("precision", UNKNOWN),
        "sentence model": sentences.get("model", UNKNOWN),
        "its weights": sentences.get("weights_sha256", UNKNOWN),
        "its precision": sentences.get("precision", UNKNOWN),
    }
