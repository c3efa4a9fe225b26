"""Operations, whatever they are given."""

import json
import random

import pytest

from tests.search.web.test_serve import FakeSearcher, browse, make_library

WORDS = ["", "0", "1", "-1", "1.5", "1_0", "nan", "inf", "1e999", "t", "x" * 5000, "²", "\0", "%"]
WORDS += ["true", "null", "[]", "Dog > 0.3", "rain"]
VALUES = [None, True, 0, 1, -1, 1.5, 1e308, 10**30, *WORDS, "csv", "m", "npy"]
VALUES += [[], {}, [[]], [1], [[1]], [["x"]], [None], ["rain"], {"sound": 0}, [{"sound": 0}]]
VALUES += [[{"sound": 0, "start": 0}], [{"sound": 0, "start": 0, "end": 1}]]
NUMBERS = ["0", "1", "x", "1.5", "²", "%00", 30 * "9"]


@pytest.mark.parametrize("seed", range(3))
def test_whatever_is_sent_is_answered_as_described(tmp_path, seed):
    """The client checks each answer; a handler that fails raises its exception here."""
    chosen = random.Random(seed)
    with browse(FakeSearcher(make_library(tmp_path / "sounds", ["a.wav", "b.wav"]))) as page:
        described = page.get("/api/v1/openapi.json").json()
        schemas = described["components"]["schemas"]
        for path, operations in described["paths"].items():
            for method, operation in operations.items():
                for _ in range(10):
                    address, query, content = path, {}, None
                    for given in operation.get("parameters", []):
                        if given["in"] == "path":
                            number = chosen.choice(NUMBERS)
                            address = address.replace(f"{{{given['name']}}}", number)
                        elif chosen.random() < 0.6:
                            query[given["name"]] = chosen.choice(["t", "0", "rain", *WORDS])
                    for body in operation.get("requestBody", {}).get("content", {}).values():
                        kind = body.get("schema", {}).get("$ref", "").rpartition("/")[2]
                        names = schemas[kind]["properties"] if kind else ()
                        sent = {
                            one: chosen.choice(VALUES) for one in names if chosen.random() < 0.6
                        }
                        content = json.dumps(sent)
                    page.request(method.upper(), address, params=query, content=content)
