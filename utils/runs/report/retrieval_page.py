"""The sections of report.html about what retrieves what: queries, tags, the map."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from utils.runs.report.figures import HUES
from utils.runs.report.findings import TOP_TAGS, Query, Retrieval, TagScore, TagScores, fewest_clips
from utils.runs.report.markup import Html, element, section, table
from utils.runs.report.space import SpaceMap

_MAP_SIZE = 1000


@dataclass(frozen=True)
class SplitFindings:
    """What there is to tell about the test split.

    Attributes
    ----------
    retrieval : Retrieval
    labels : sequence of str
        AudioSet tags; empty where the model does not read them.
    worst, best : sequence of Query
    tags : TagScores or None
    map : SpaceMap

    """

    retrieval: Retrieval
    labels: Sequence[str]
    worst: Sequence[Query]
    best: Sequence[Query]
    tags: TagScores | None
    map: SpaceMap


def sections(test: SplitFindings) -> list[Html]:
    """Write the sections."""
    tags = [_tags(test)] if test.tags is not None and test.tags.best else []
    return [_queries(test), *tags, _map(test)]


def _queries(test: SplitFindings) -> Html:
    return section(
        "Queries",
        element("h3", "Furthest from their clip"),
        element("div", *(_query(test, one) for one in test.worst), class_="queries"),
        element("h3", "Found with the widest margin"),
        element("div", *(_query(test, one) for one in test.best), class_="queries"),
        note="What a caption retrieves, one caption for each clip, with scores. The clip that it "
        "was written for is marked; below each clip the first caption written for it, and its "
        f"{TOP_TAGS} likeliest tags. A result that fits the query as well as its own clip is no "
        "fault of the model.",
    )


def _query(test: SplitFindings, query: Query) -> Html:
    split = test.retrieval.split
    rows = [(place, clip, score) for place, (clip, score) in enumerate(query.found, start=1)]
    if query.clip not in (clip for _, clip, _ in rows):
        rows.append((query.rank, query.clip, query.score))
    items = []
    for place, clip, score in rows:
        tags = test.retrieval.tags_of(clip, test.labels)
        first = next(iter(np.flatnonzero(test.retrieval.evaluation.clips == clip)), None)
        items.append(
            element(
                "li",
                element("span", place, class_="place"),
                element("bdi", split.clip_names[clip], class_="name"),
                element("span", f"{score:.3f}"),
                None
                if first is None
                else element("span", split.captions[first], class_="small", dir="auto"),
                element("span", " · ".join(tags), class_="small tags") if tags else None,
                class_="own" if clip == query.clip else None,
            )
        )
    return element(
        "article",
        element("blockquote", split.captions[query.caption], dir="auto"),
        element("p", f"own clip at rank {query.rank} of {len(split.clip_names)}", class_="small"),
        element("ol", *items),
        class_="query",
    )


def _tags(test: SplitFindings) -> Html:
    best, worst = test.tags.best, test.tags.worst
    parts = [("Best", best), ("Worst", worst)] if worst else [("", best)]
    tables = [
        element("div", element("h3", heading) if heading else None, _tag_table(tags))
        for heading, tags in parts
    ]
    clips = len(test.retrieval.audio)
    return section(
        "By tag",
        element("div", *tables, class_="queries"),
        note=f"Captions by the tags of their clips: all {test.tags.common} AudioSet tags that are "
        f"among the {TOP_TAGS} likeliest of at least {fewest_clips(clips)} clips. The bar is the "
        "95 % interval of mAP@10, the stroke in it the mean; long bars say little, and of many "
        "tags the first and the last are partly so by chance.",
    )


def _tag_table(tags: Sequence[TagScore]) -> Html:
    rows = [
        element(
            "tr",
            element("th", tag.name, scope="row"),
            element("td", tag.clips),
            element("td", _bar(tag)),
            element("td", f"{tag.precision:.3f}"),
            element("td", f"{tag.recall:.3f}"),
        )
        for tag in tags
    ]
    return table(["tag", "clips", "", "mAP@10", "R@10"], rows)


def _bar(tag: TagScore) -> Html:
    low, high = (100 * bound for bound in tag.interval)
    mean = 100 * tag.precision
    return Html(
        '<span class="bar"><svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        '<rect y="4.6" width="100" height=".8" fill="var(--line)"/>'
        f'<rect x="{low:.1f}" y="2" width="{max(high - low, 0.5):.1f}" height="6" '
        'fill="var(--accent)" opacity=".35"/>'
        f'<rect x="{mean - 0.75:.1f}" width="1.5" height="10" fill="var(--accent)"/></svg></span>'
    )


def _map(test: SplitFindings) -> Html:
    places, split = test.map, test.retrieval.split
    group = places.group
    size = 9 if len(places.clips) <= 200 else 5
    margin = 2 * size
    extent = _MAP_SIZE * np.concatenate([places.clip_places, *places.caption_places]).max(axis=0)
    shapes = []
    for clip, hue, (x, y), rows, ends in zip(
        places.clips.tolist(),
        group.tolist(),
        _MAP_SIZE * places.clip_places,
        places.captions,
        (_MAP_SIZE * of_clip for of_clip in places.caption_places),
        strict=True,
    ):
        threads = "".join(f"M{x:.0f} {y:.0f}L{a:.0f} {b:.0f}" for a, b in ends)
        dots = "".join(f"M{a:.0f} {b:.0f}h0" for a, b in ends)
        tags = " · ".join(test.retrieval.tags_of(clip, test.labels))
        lines = [split.clip_names[clip], tags, *(split.captions[row] for row in rows)]
        shapes.append(
            element(
                "g",
                element("title", "\n".join(filter(None, lines))),
                Html(f'<path class="thread" d="{threads}"/>') if threads else None,
                Html(f'<path stroke-width="{size}" d="{dots}"/>') if dots else None,
                Html(f'<circle cx="{x:.0f}" cy="{y:.0f}" r="{size}"/>'),
                class_=HUES[hue] if hue >= 0 else "other",
            )
        )
    legend = [
        element("li", element("i"), element("span", name), class_=hue)
        for name, hue in zip(places.group_names, HUES, strict=False)
    ]
    if legend and (group < 0).any():
        legend.append(element("li", element("i"), element("span", "other tags"), class_="other"))
    width, height = (f"{side + 2 * margin:.0f}" for side in extent)
    drawing = element(
        "svg",
        *shapes,
        viewBox=f"{-margin} {-margin} {width} {height}",
        role="img",
        aria_label="Map of the shared space",
        style=f"stroke-width:{size / 4}",
    )
    shown = len(places.clips), len(test.retrieval.audio)
    sample = "" if shown[0] == shown[1] else f" A sample: {shown[0]} of {shown[1]} clips."
    key = element("ul", *legend, class_="legend") if legend else None
    return section(
        "The shared space",
        element("div", key, drawing, class_="map"),
        note="Large dots are clips, laid out by t-SNE so that those that sound alike to the model "
        "lie together; their colour is their likeliest tag. A small dot is a caption, put among "
        "the three clips that it retrieves first, with a thread to its own. Long threads are "
        "captions that lead astray; a cluster with many of them is a kind of sound that the model "
        f"confuses. Point at a clip for its captions.{sample}",
    )
