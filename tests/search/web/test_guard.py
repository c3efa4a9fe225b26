import socket

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from utils.search.web.guard import Guard


def client(host="127.0.0.1"):
    methods = ["GET", "POST", "DELETE"]
    route = Route("/", lambda request: PlainTextResponse("answered"), methods=methods)
    return TestClient(Guard(Starlette(routes=[route]), host=host), base_url="http://127.0.0.1:8000")


OWN = ["127.0.0.1", "127.0.0.1:8000", "localhost", "LOCALHOST:1", "[::1]:8000", "[::1]"]
FOREIGN = ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8000"]
FOREIGN += ["localhost@evil.example", "192.168.1.5", "localhost:8000:9", "localhost:port"]
FOREIGN += ["", ":8000"]


@pytest.mark.parametrize(
    ("host", "name"),
    [
        *(("127.0.0.1", name) for name in OWN),
        *(("sounds.lan", name) for name in ("sounds.lan", "Sounds.LAN:80", "localhost")),
        *(("0.0.0.0", name) for name in ("10.0.0.1:8000", "[fe80::1]:8000", socket.gethostname())),
    ],
)
def test_the_names_of_this_machine_and_of_its_host_are_answered(host, name):
    assert client(host).get("/", headers={"host": name}).status_code == 200


@pytest.mark.parametrize(
    ("host", "names"),
    [
        *(("127.0.0.1", [name]) for name in FOREIGN),
        ("127.0.0.1", ["localhost", "evil.example"]),
        ("sounds.lan", ["10.0.0.1"]),
        ("0.0.0.0", ["evil.example"]),
    ],
)
def test_other_names_are_refused_because_they_may_have_been_made_to_lead_here(host, names):
    answer = client(host).get("/", headers=[("host", name) for name in names])
    assert answer.status_code == 421
    assert "does not answer to the name" in answer.json()["error"]


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_only_the_servers_own_page_may_change_something(method):
    def ask(**headers):
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return client().request(method, "/", headers=given)

    assert ask(origin="http://127.0.0.1:8000").status_code == 200
    assert ask().status_code == 200  # a program: pages cannot leave it out
    assert ask(sec_fetch_site="none").status_code == 200
    for origin in ("http://evil.example", "null", "https://127.0.0.1:8000", "http://127.0.0.1:9"):
        answer = ask(origin=origin)
        assert answer.status_code == 403
        assert answer.json() == {"error": "This request comes from another site's page."}
    assert ask(sec_fetch_site="cross-site").status_code == 403


def test_every_answer_has_the_headers_even_a_refusal():
    for answer in (client().get("/"), client().get("/", headers={"host": "evil.example"})):
        policy = answer.headers["content-security-policy"].split("; ")
        assert {"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"} <= set(policy)
        assert "unsafe" not in " ".join(policy)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in answer.headers
