"""From axes to pictures: one drawing as PNG for paper, and as SVG in the colours of its page.

Drawings are small, so that they are legible side by side on a desk and in a column on a phone.
"""

import io
import re
from collections.abc import Callable
from typing import Any

import matplotlib
from markupsafe import Markup, escape
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

# By name: the colour on a light page, and on a dark one. All light ones differ, because `svg`
# replaces them by name.
PALETTE = {
    "paper": ("#ffffff", "#14171c"),
    "ink": ("#1d232b", "#e7e9ec"),
    "muted": ("#5f6b7a", "#98a3b1"),
    "line": ("#d7dce2", "#343b45"),
    "accent": ("#0a6c74", "#56c2bd"),
    "second": ("#b9582c", "#e9976a"),
    "other": ("#a4adb8", "#626d7a"),
    "hue-0": ("#3a6fb0", "#7ea9e4"),
    "hue-1": ("#c46a2f", "#e9a06c"),
    "hue-2": ("#2f8a5b", "#6fc597"),
    "hue-3": ("#a13d73", "#dc88b5"),
    "hue-4": ("#86781f", "#cbbc60"),
    "hue-5": ("#5d4da2", "#a79be8"),
    "hue-6": ("#ad3c3c", "#e68a8a"),
    "hue-7": ("#3b8c9b", "#7cc9d6"),
}
HUES = tuple(name for name in PALETTE if name.startswith("hue-"))
LIGHT = {name: light for name, (light, _) in PALETTE.items()}
_WIDTH, _HEIGHT = 3.5, 2.5  # inches
_STYLE = {
    "axes.edgecolor": LIGHT["line"],
    "axes.labelcolor": LIGHT["muted"],
    "axes.labelsize": 9,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": LIGHT["paper"],
    "axes.facecolor": "none",
    "font.family": "DejaVu Sans",  # comes with matplotlib: pictures are the same everywhere
    "font.size": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "legend.handlelength": 1.4,
    "legend.labelcolor": LIGHT["ink"],
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
    "svg.fonttype": "none",
    "text.color": LIGHT["ink"],
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "xtick.color": LIGHT["line"],
    "xtick.labelcolor": LIGHT["muted"],
    "xtick.labelsize": 9,
    "ytick.color": LIGHT["line"],
    "ytick.labelcolor": LIGHT["muted"],
    "ytick.labelsize": 9,
}
_PNG_DPI = 200


def draw(plot: Callable[..., None], *arguments: Any, height: float = _HEIGHT) -> Figure:
    """Make a figure, `height` inches high, and let a function of `plots` fill its axes."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        plot(figure.add_subplot(), *arguments)
    return figure


def png(figure: Figure) -> bytes:
    """Render a figure for light paper; equal figures give equal bytes."""
    content = io.BytesIO()
    with matplotlib.rc_context(_STYLE):
        FigureCanvasAgg(figure)
        figure.savefig(content, format="png", dpi=_PNG_DPI, metadata={"Software": None})
    return content.getvalue()


def svg(figure: Figure, *, name: str, label: str) -> Markup:
    """Render a figure for a page, with the names in `PALETTE` as CSS variables for its colours.

    `name` is unique within the page, so that drawings do not share ids. `label` says what the
    drawing shows to readers who cannot see it.
    """
    content = io.StringIO()
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name}):
        FigureCanvasSVG(figure)
        figure.savefig(content, format="svg", transparent=True, metadata={"Date": None})
    drawing = content.getvalue()
    drawing = drawing[drawing.index("<svg") :]
    # Its general style would apply to the whole page. Ids of groups repeat in every drawing,
    # and nothing refers to them.
    drawing = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", drawing, flags=re.DOTALL)
    drawing = re.sub(r'<g id="[^"]*"', "<g", drawing)
    drawing = re.sub(r" font-family: [^;]*;", "", drawing)  # the page sets it
    drawing = re.sub(r"\s*\n\s*", " ", drawing)
    view = re.search(r'viewBox="[^"]*"', drawing).group()
    opening = f'<svg role="img" {view} aria-label="{escape(label)}">'
    drawing = re.sub(r"<svg[^>]*>", lambda _: opening, drawing, count=1)
    for colour, light in LIGHT.items():
        drawing = drawing.replace(light, f"var(--{colour})")
    return Markup(drawing)
