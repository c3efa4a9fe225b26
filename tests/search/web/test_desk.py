"""Collections and exports over HTTP."""

import json

import pytest

from tests.search.web.test_serve import FakeSearcher, browse, make_library, refused
from utils.search.file_table import record
from utils.search.web.api import operations

NAMES = ["sub/a.wav", "=b.aiff", "line\nbreak.wav", "caf\udce9.wav"]


@pytest.fixture
def library(tmp_path):
    return make_library(tmp_path / "sounds", NAMES)


@pytest.fixture
def page(library):
    with browse(FakeSearcher(library)) as client:
        yield client


@pytest.fixture
def doors(page):
    """The address of an empty collection."""
    made = page.post("/api/v1/collections", json={"name": "doors"})
    assert made.status_code == 201
    return f"/api/v1/collections/{made.json()['collection']}"


PICKS = [{"sound": 0, "start": 0.5, "end": 1.25, "label": "a dog", "score": 0.5}, {"sound": 3}]


def adding(picks, library="t"):
    return {"library": library, "picks": picks}


def removing(page, doors, *items):
    return page.post(f"{doors}/removals", json={"items": items})


def test_sounds_and_moments_are_collected_and_removed(page, doors):
    assert page.post(f"{doors}/items", json=adding(PICKS)).json() == {"added": 2, "given": 2}
    assert page.post(f"{doors}/items", json=adding(PICKS)).json() == {"added": 0, "given": 2}
    number = int(doors.rpartition("/")[2])
    listed = {"collection": number, "name": "doors", "count": 2}
    assert page.get("/api/v1/collections").json() == {"collections": [listed]}
    shown = page.get(doors).json()
    first, second = shown.pop("items")
    assert shown == {**listed, "library": "t"}
    assert first == {
        "item": first["item"], "rank": 1, "score": 0.5, "sound": 0, "paths": ["sub/a.wav"],
        "duration": 2.0, "start": 0.5, "end": 1.25, "is_part": True, "loudness": None,
        "label": "a dog", "missing": False,
    }  # fmt: skip
    assert (second["paths"], second["is_part"]) == (["caf\\udce9.wav"], False)
    assert removing(page, doors, first["item"], 99).json() == {"removed": 1}
    assert [item["sound"] for item in page.get(doors).json()["items"]] == [3]


def test_a_missing_sound_is_told(page, doors, library):
    page.post(f"{doors}/items", json=adding(PICKS))
    record(library.database, {"sub/a.wav": None})
    first, second = page.get(doors).json()["items"]
    assert (first["missing"], first["paths"], second["missing"]) == (True, ["sub/a.wav"], False)
    sent = page.post("/api/v1/exports", json={"format": "m3u8", "collection": 1})
    assert (sent.headers["x-exported"], sent.headers["x-left-out"]) == ("1", "1")


def test_collections_are_renamed_and_deleted(page, doors):
    page.post("/api/v1/collections", json={"name": "dogs"})
    refused(page.post("/api/v1/collections", json={"name": " doors"}), 409, "'doors' already")
    refused(page.patch(doors, json={"name": "dogs"}), 409, "'dogs' already")
    refused(page.patch(doors, json={"name": " "}), 400, "is empty")
    assert page.patch(doors, json={"name": "gates <b>"}).json()["name"] == "gates <b>"
    assert page.delete(doors).status_code == 204
    for answer in (
        page.get(doors),
        page.delete(doors),
        page.patch(doors, json={"name": "x"}),
        page.post(f"{doors}/items", json=adding(PICKS)),
        removing(page, doors, 1),
        page.post("/api/v1/exports", json={"format": "csv", "collection": 1}),
    ):
        refused(answer, 404, "no collection number")


def test_picks_are_exported_as_files(page, library):
    place = library.folder
    sent = page.post("/api/v1/exports", json={**adding(PICKS), "format": "csv"})
    assert sent.headers["content-disposition"] == "attachment; filename*=utf-8''sounds.csv"
    assert sent.headers["content-type"] == "text/csv; charset=utf-8"
    lines = sent.text.splitlines()
    assert lines[1].startswith(f"a dog,0.5,{place}/sub/a.wav,0.5,1.25,2.0,")
    for kind, begin in (
        ("json", b"["),
        ("m3u8", b"#EXTM3U\n"),
        ("edl", b"TITLE: sounds\nFCM: DROP FRAME\n"),
        ("reaper", b"#,Name,Start,End,Length\n"),
    ):
        asked = {**adding(PICKS), "format": kind, "fps": "29.97"}
        assert page.post("/api/v1/exports", json=asked).content.startswith(begin)
    whole = page.post("/api/v1/exports", json={**adding(PICKS), "format": "json", "whole": True})
    assert [(one["start"], one["end"]) for one in whole.json()] == [(0, 2), (0, 2)]


def test_a_collection_is_exported_under_its_name(page, doors):
    page.post(f"{doors}/items", json=adding(PICKS))
    page.patch(doors, json={"name": "doors/& 門"})
    sent = page.post("/api/v1/exports", json={"format": "edl", "collection": 1})
    assert sent.headers["content-disposition"].endswith("''doors_%26%20%E9%96%80.edl")
    assert sent.text.startswith("TITLE: doors/& 門\n")


def test_others_do_not_learn_where_the_folder_is(library):
    with browse(FakeSearcher(library), host="192.0.2.1") as page:
        assert "place" not in page.get("/api/v1/library").json()
        sent = page.post("/api/v1/exports", json={**adding(PICKS), "format": "m3u8"})
    assert str(library.folder) not in sent.text
    assert "\nsub/a.wav\n" in sent.text
    with browse(FakeSearcher(library)) as page:
        assert page.get("/api/v1/library").json()["place"] == str(library.folder)


@pytest.mark.parametrize(
    ("picks", "status", "message"),
    [
        ([], 400, "No sounds are given"),
        ("all", 400, "^picks='all': give a list of 0 to 10000 values"),
        ([1], 400, r"^picks\[0\]=.1.: give an object with sound, start, end, label, score"),
        ([{}], 400, r"^picks\[0\].sound is missing: give a whole number from 0"),
        ([{"sound": True}], 400, r"^picks\[0\].sound='True'"),
        ([{"sound": 10**400}], 400, r"^picks\[0\].sound='1000"),
        ([{"sound": "1"}], 400, r"^picks\[0\].sound='1'"),
        ([{"sound": 99}], 400, "no sound number 99"),
        ([{"sound": 0, "start": 1}], 400, "both start and end"),
        ([{"sound": 0, "begin": 1}], 400, r"no picks\[0\].begin here. Known are: sound, start,"),
        ([{"sound": 0, "start": "0", "end": 1}], 400, "start='0': give a number"),
        ([{"sound": 0, "start": 1, "end": 0.5}], 400, "is no part of sound number 0"),
        ([{"sound": 0, "start": 10**400, "end": 1}], 400, "start=.*: give a number"),
        ([{"sound": 0, "label": 4001 * "a"}], 400, "label has 4001 characters, more than 4000"),
        ([{"sound": 0, "label": "\ud800"}], 400, "^Send a JSON object, in UTF-8"),
        ([{"sound": 0}] * 10_001, 400, "^picks has 10001 values, more than 10000"),
    ],
)
def test_picks_that_make_no_sense_are_refused(page, doors, picks, status, message):
    content = json.dumps(adding(picks))
    refused(page.post(f"{doors}/items", content=content), status, message)
    exported = json.dumps({**adding(picks), "format": "csv"})
    refused(page.post("/api/v1/exports", content=exported), status, message)
    assert page.get(doors).json()["items"] == []


def test_requests_that_make_no_sense_are_refused(page, doors, monkeypatch):
    refused(page.post(f"{doors}/items", json=adding(PICKS, "other")), 409, "of another library")
    for body in (b"", b"[]", b"{", b"\xff", b"[" * 100_000):
        refused(page.post("/api/v1/collections", content=body), 400, "Send a JSON object")
    refused(page.post("/api/v1/collections", json={"name": 1}), 400, "name='1': give a text")
    refused(page.get("/api/v1/collections/x"), 400, "collection='x': give a whole number")
    refused(page.get("/api/v1/collections/²"), 400, "give a whole number")
    asked = {**adding(PICKS), "format": "wav"}
    refused(page.post("/api/v1/exports", json=asked), 400, "format='wav': give one of csv, json")
    for both in ({}, {"picks": PICKS}, {**adding(PICKS), "collection": 1}):
        asked = {**both, "format": "csv"}
        refused(page.post("/api/v1/exports", json=asked), 400, "^Give picks with their library, or")
    asked = {**adding(PICKS), "format": "edl", "fps": "7"}
    refused(page.post("/api/v1/exports", json=asked), 400, "'7' frames per second")
    monkeypatch.setattr(operations, "_MAX_BYTES", 10)
    refused(page.post("/api/v1/collections", json={"name": "a" * 20}), 413, "larger than")


def test_pages_of_other_sites_change_nothing(page, doors):
    headers = {"origin": "http://evil.example"}
    for method, address, content in (
        ("POST", "/api/v1/collections", {"name": "x"}),
        ("PATCH", doors, {"name": "x"}),
        ("DELETE", doors, {}),
        ("POST", f"{doors}/items", adding(PICKS)),
        ("POST", f"{doors}/removals", {"items": [1]}),
        ("POST", "/api/v1/exports", {**adding(PICKS), "format": "csv"}),
    ):
        answer = page.request(method, address, json=content, headers=headers)
        refused(answer, 403, "another site's page")
    assert [one["name"] for one in page.get("/api/v1/collections").json()["collections"]] == [
        "doors"
    ]


def test_a_sound_is_sent_as_the_file_that_it_is(page, library):
    for number, name in enumerate(NAMES):
        sent = page.get(f"/api/v1/sounds/{number}/file?library=t")
        assert sent.content == (library.folder / name).read_bytes()
        assert sent.headers["content-disposition"].startswith("attachment; filename*=utf-8''")
    assert (
        page.get("/api/v1/sounds/2/file?library=t")
        .headers["content-disposition"]
        .endswith("line%0Abreak.wav")
    )
    (library.folder / "sub/a.wav").unlink()
    refused(page.get("/api/v1/sounds/0/file?library=t"), 410, "is missing")
