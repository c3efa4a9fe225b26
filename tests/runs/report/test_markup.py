import html.parser

import pytest

from utils.runs.report.markup import Html, element, escape, facts, join, table

HOSTILE = [
    "<script>alert(1)</script>",
    "\"quotes\" and 'quotes'",
    "A &amp; B #1 100%.wav",
    "</title><img src=x onerror=alert(1)>",
    "🐕 barks, مطر على سقف",
    "$body ${title} $$",
]


class Reader(html.parser.HTMLParser):
    """Collects what a browser would see: tags, attributes and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags, self.attributes, self.text = [], [], ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("text", HOSTILE)
def test_text_stays_text(text):
    seen = Reader(element("p", text, title=text))
    assert seen.tags == ["p"]
    assert seen.text == text
    assert seen.attributes == [("title", text)]


def test_what_is_html_already_is_not_escaped_again_but_in_attributes():
    inner = element("b", "1 < 2")
    assert element("p", inner, " & more") == "<p><b>1 &lt; 2</b> &amp; more</p>"
    assert isinstance(join(inner, "<"), Html)
    assert Reader(element("p", title=Html('"><script>'))).tags == ["p"]


def test_attributes_are_named_as_in_html_and_none_is_left_out():
    assert element("p", None, 3, class_="x", aria_label="y", id=None) == (
        '<p class="x" aria-label="y">3</p>'
    )


@pytest.mark.parametrize(
    ("text", "written"),
    [("half \ud83d pair", "half ? pair"), ("bell\x07, null\x00", "bell\ufffd, null\ufffd")],
)
def test_what_html_cannot_hold_is_replaced(text, written):
    assert escape(text) == written
    assert escape("line\none\ttab") == "line\none\ttab"


def test_tables_and_facts_escape_their_cells():
    seen = Reader(
        join(table(["<i>"], [element("tr", element("td", "<b>"))]), facts({"<a>": "<u>"}))
    )
    assert not {"i", "b", "a", "u"} & set(seen.tags)
    assert seen.text == "<i><b><a><u>"
