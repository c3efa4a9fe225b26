"""The API as programs use it, with a real model and real sounds."""

import io

import numpy as np
import pytest
import safetensors.numpy
from starlette.testclient import TestClient

from tests.contract import Contract, checked
from tests.search.web.test_serve import refused
from tests.support import DEMO_CONFIG, GOLDEN
from utils.search import Searcher
from utils.search.web import vectors
from utils.search.web.api import vector_api
from utils.search.web.api.operations import PREFIX
from utils.search.web.app import create_app
from utils.search.web.service import Service

ADDRESS = "http://127.0.0.1:8000"
DOG = "a dog barks"


@pytest.fixture(scope="module")
def searcher(trained, sounds):
    index, overrides = sounds.parent / "index", ["precision=fp32"]
    return Searcher.open(trained, sounds, config=DEMO_CONFIG, overrides=overrides, index=index)


@pytest.fixture(scope="module")
def app(searcher):
    return create_app(Service(searcher), host="127.0.0.1")


@pytest.fixture(scope="module")
def described(app):
    with TestClient(app, base_url=ADDRESS) as client:
        return client.get(f"{PREFIX}/openapi.json").json()


@pytest.fixture(scope="module")
def contract(described):
    return Contract(described)


@pytest.fixture
def client(app, contract):
    """A client that checks each answer against what is said of it."""
    with TestClient(app, base_url=f"{ADDRESS}{PREFIX}/") as client:
        yield checked(client, contract)


@pytest.fixture
def about(client):
    return client.get("library").json()


def by_vector(client, about, vector, **more):
    return client.post("search", json={"vector": vector, "model": about["model"], **more})


def vectors_of(client, about, **wanted):
    return client.post("vectors/sounds", json={"library": about["library"], **wanted})


def test_a_text_is_found_by_its_vector_as_by_itself(client, about):
    sent = client.post("vectors/texts", json={"texts": [DOG, "rain"]}).json()
    assert (sent["model"], len(sent["vectors"][0])) == (about["model"], about["dimension"])
    given = {"top": 5, "moments": 2, "tag": ["Music < 0.9"]}
    asked = client.get("search", params={"q": DOG, "by": "meaning", **given}).json()
    found = by_vector(client, about, sent["vectors"][0], **given).json()
    assert [hit["paths"] for hit in found["hits"]] == [hit["paths"] for hit in asked["hits"]]
    scores = [hit["score"] for hit in asked["hits"]]
    assert [hit["score"] for hit in found["hits"]] == pytest.approx(scores, abs=1e-5)
    assert found["hits"][0]["moments"]
    assert found["notes"] == []
    twice = [2 * value for value in sent["vectors"][0]]
    longer = by_vector(client, about, twice, **given).json()
    assert longer["hits"] == found["hits"]
    assert longer["notes"] == ["1 of 1 vector brought to length 1"]


def test_the_vectors_of_a_sound_give_the_scores_of_a_search(client, about):
    (text,) = client.post("vectors/texts", json={"texts": [DOG]}).json()["vectors"]
    for hit in client.get("search", params={"q": DOG, "by": "meaning", "top": 3}).json()["hits"]:
        passage = {"sound": hit["sound"], "start": hit["start"]}
        one = vectors_of(client, about, passages=[passage]).json()
        assert one["passages"] == [{**passage, "end": hit["end"]}]
        assert float(np.dot(one["vectors"][0], text)) == pytest.approx(hit["score"], abs=1e-5)
        like = {"vectors": one["vectors"], "model": one["model"], "top": 1}
        (itself,) = client.post("search", json=like).json()["hits"]
        assert itself["sound"] == hit["sound"]


def test_vectors_are_the_same_in_all_formats(client, about):
    listed = client.get("sounds", params={"library": about["library"]}).json()
    numbers = [one["sound"] for one in listed["sounds"]]
    assert (len(numbers), listed["next"]) == (about["sounds"], None)
    plain = vectors_of(client, about, sounds=numbers).json()
    assert [one["sound"] for one in plain["passages"]] == numbers
    assert np.linalg.norm(plain["vectors"], axis=1) == pytest.approx(1, abs=1e-5)
    sent = vectors_of(client, about, sounds=numbers, format="safetensors")
    tensors = safetensors.numpy.load(sent.content)
    assert tensors["sounds"].tolist() == numbers
    assert tensors["starts"].tolist() == [one["start"] for one in plain["passages"]]
    assert tensors["ends"].tolist() == [one["end"] for one in plain["passages"]]
    assert tensors["vectors"].tolist() == plain["vectors"]
    sent = vectors_of(client, about, sounds=numbers, format="npy")
    assert sent.headers["x-model"] == about["model"]
    assert np.load(io.BytesIO(sent.content)).tolist() == plain["vectors"]
    texts = {"texts": [DOG]}
    sent = client.post("vectors/texts", json={**texts, "format": "npy"})
    expected = client.post("vectors/texts", json=texts).json()["vectors"]
    assert np.load(io.BytesIO(sent.content)).tolist() == expected


def test_sounds_are_listed_in_parts(client, about):
    first, numbers = 0, []
    while first is not None:
        given = {"library": about["library"], "first": first, "count": 3}
        part = client.get("sounds", params=given).json()
        numbers += [one["sound"] for one in part["sounds"]]
        first = part["next"]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == about["sounds"]
    refused(client.get("sounds", params={"library": "x"}), 409, "of another library")
    refused(client.get("sounds"), 400, "^library is missing: give a text of 0 to 100 characters")
    refused(client.get("library?nothing=1"), 400, "^There is no nothing here. Known are: none")


@pytest.mark.parametrize(
    ("given", "status", "message"),
    [
        ({}, 400, "^Give one of q, clip, like, vector, vectors: what to search by"),
        ({"vector": [1.0]}, 400, "^model is missing"),
        ({"vector": [1.0], "model": "x"}, 409, "of the model 'x'; this is [0-9a-f]{16}.* again"),
        ({"vector": [1.0], "model": "own"}, 400, "^Vector 0 has 1 numbers; those of this model"),
        ({"vectors": [[]]}, 400, r"^vectors\[0\]: give a list of 1 to 8192 values"),
        ({"vector": "zero", "model": "own"}, 400, "^Vector 0 is zero: it has no direction"),
        ({"vector": ["1"], "model": "own"}, 400, r"^vector\[0\]='1': give a number"),
        ({"vector": [1.0], "vectors": [[1.0]]}, 400, "^Give one of"),
        ({"q": DOG, "model": "own"}, 400, "^model goes with vector or vectors alone"),
        ({"vectors": [[1.0]], "moments": 1}, 400, "^moments goes with q or vector alone"),
        ({"q": None}, 400, "^Give one of q, clip,"),
        ({"q": DOG, "top": 5.5}, 400, "^top='5.5': give a whole number from 1 to 200"),
    ],
)
def test_a_search_by_vectors_that_makes_no_sense_is_refused(given, status, message, client, about):
    if given.get("model") == "own":
        given = {**given, "model": about["model"]}
    if given.get("vector") == "zero":
        given = {**given, "vector": about["dimension"] * [0.0]}
    refused(client.post("search", json=given), status, message)


def test_numbers_that_are_no_numbers_are_refused(client, about):
    for number in ("NaN", "Infinity", "1e400"):
        body = f'{{"model": "{about["model"]}", "vector": [{number}]}}'
        refused(client.post("search", content=body), 400, r"^vector\[0\]='(nan|inf)': give a num")
    huge = by_vector(client, about, about["dimension"] * [1e300])
    assert len(huge.json()["hits"]) > 0


def test_vectors_that_are_not_there_are_refused(client, about, monkeypatch):
    refused(vectors_of(client, {"library": "x"}, sounds=[0]), 409, "of another library")
    refused(vectors_of(client, about), 400, "^Give sounds or passages")
    refused(vectors_of(client, about, sounds=[10**6]), 404, "no sound number 1000000")
    listed = client.get("sounds", params={"library": about["library"]}).json()["sounds"]
    number = listed[0]["sound"]
    between = [{"sound": number, "start": 0.123}]
    refused(vectors_of(client, about, passages=between), 404, "starts at 0.123 s")
    refused(client.post("vectors/texts", json={"texts": [DOG, " "]}), 400, "query is empty")
    refused(client.post("vectors/texts", json={"texts": ["雷雨"]}), 400, "reads no word of '雷雨'")
    refused(client.post("vectors/texts", json={"texts": 101 * [DOG]}), 400, "101 values, more")
    two = [number, number]
    monkeypatch.setattr(vector_api, "_MAX_JSON", 1)
    refused(vectors_of(client, about, sounds=two), 413, "or for npy or safetensors")
    monkeypatch.setattr(vectors, "MAX_ROWS", 1)
    refused(vectors_of(client, about, sounds=two, format="npy"), 413, "more than 1 passages")


def test_every_operation_answers_as_it_is_described(client, about, contract, sounds):
    place = {"library": about["library"]}
    asked = client.get("search", params={"q": DOG}).json()
    hit = asked["hits"][0]
    sound, picks = f"sounds/{hit['sound']}", [{"sound": hit["sound"]}]
    for what in ("audio", "file", "spectrogram.png"):
        assert client.get(f"{sound}/{what}", params=place).status_code == 200
    assert client.get(f"{sound}/moments", params={**place, "q": DOG}).json()["moments"]
    clip = client.post("clips", content=min(sounds.glob("*.wav")).read_bytes()).json()["clip"]
    assert len(client.get("search", params={"clip": clip}).json()["hits"]) == about["sounds"]
    like = client.get("search", params={"like": hit["sound"], **place}).json()
    assert len(like["hits"]) == about["sounds"] - 1
    made = client.post("collections", json={"name": "dogs"}).json()["collection"]
    client.patch(f"collections/{made}", json={"name": "a dog"})
    client.post(f"collections/{made}/items", json={**place, "picks": picks})
    (item,) = client.get(f"collections/{made}").json()["items"]
    for kind in ("csv", "json", "m3u8", "edl", "reaper"):
        client.post("exports", json={"format": kind, "collection": made})
    client.post(f"collections/{made}/removals", json={"items": [item["item"]]})
    client.get("collections")
    client.delete(f"collections/{made}")
    assert client.post("update").status_code == 202
    while client.get("update").json()["running"]:
        pass
    client.get("sounds", params=place)
    client.get("openapi.json")
    client.post("vectors/texts", json={"texts": [DOG]})
    vectors_of(client, about, sounds=[hit["sound"]])
    left_out = dict.fromkeys(("clip", "like", "start", "library", "vector", "vectors", "model"))
    assert client.post("search", json={"q": DOG, **left_out}).json() == asked
    assert contract.answered == {
        (method.upper(), path)
        for path, operations in contract.paths.items()
        for method in operations
    }


def test_every_route_is_described_and_nothing_else(app, described):
    routes = {
        (method, route.path)
        for route in app._app.routes
        if route.path.startswith("/api/")
        for method in route.methods - {"HEAD"}
    }
    told = {(method.upper(), path) for path, one in described["paths"].items() for method in one}
    assert told == routes
    assert described["openapi"] == "3.1.0"
    for operations in described["paths"].values():
        for one in operations.values():
            assert {"401", "421", "500", "503"} <= one["responses"].keys()
            assert one["summary"]
    names = [one["operationId"] for each in described["paths"].values() for one in each.values()]
    assert len(names) == len(set(names))


def needed(described):
    """A line for each operation: its method, its address, and what it cannot do without."""
    for path, operations in described["paths"].items():
        for method, one in operations.items():
            names = [each["name"] for each in one.get("parameters", []) if each["required"]]
            for media, body in one.get("requestBody", {}).get("content", {}).items():
                names.append(media)
                if "schema" in body:
                    kind = body["schema"]["$ref"].rpartition("/")[2]
                    names += described["components"]["schemas"][kind].get("required", [])
            yield " ".join([method.upper(), path, *names])


def test_operations_need_what_they_needed_before(described):
    """A change of this list breaks programs: give it another version, or leave it."""
    known = (GOLDEN / "api_v1.txt").read_text(encoding="utf-8").splitlines()
    assert sorted(needed(described)) == known


def test_parameters_tell_their_limits(described):
    limits = {"maxLength", "maximum", "maxItems", "enum"}

    def unlimited(name, schema):
        if "$ref" in schema:
            return
        kinds = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
        for one in kinds:
            if one.get("type") in ("string", "integer", "array") and not limits & one.keys():
                yield name
            if one.get("type") == "array":
                yield from unlimited(f"{name}[]", one["items"])

    found = []
    for operations in described["paths"].values():
        for one in operations.values():
            for given in one.get("parameters", []):
                found += unlimited(given["name"], given["schema"])
    for kind, schema in described["components"]["schemas"].items():
        if kind.endswith("Sent") or kind == "Named":
            for name, field in schema["properties"].items():
                found += unlimited(f"{kind}.{name}", field)
    assert found == []
