"""What a token keeps out, and how browsers and programs show it."""

import stat
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from starlette.testclient import TestClient

from tests.search.web.test_serve import FakeSearcher, make_library, refused
from tests.support import load_script
from utils.runtime.errors import InputError
from utils.search.web.app import create_app
from utils.search.web.service import Service
from utils.search.web.token_gate import VARIABLE, choose_token, leading_to, link_with

TOKEN = "0123456789-abc.DEF_~"
BEARER = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def client(tmp_path):
    service = Service(FakeSearcher(make_library(tmp_path / "sounds", ["a.wav"])))
    app = create_app(service, host="192.0.2.1", token=TOKEN)
    with TestClient(app, base_url="http://192.0.2.1:8000", follow_redirects=False) as client:
        yield client


ADDRESSES = [
    ("GET", "/api/v1/library"),
    ("GET", "/api/v1/openapi.json"),
    ("GET", "/api/v1/search?q=rain"),
    ("HEAD", "/api/v1/sounds/0/audio?library=t"),
    ("POST", "/api/v1/clips"),
    ("POST", "/api/v1/update"),
    ("DELETE", "/api/v1/collections/1"),
    ("GET", "/nothing"),
    ("GET", "//api/v1/library"),
]


@pytest.mark.parametrize(("method", "address"), ADDRESSES)
def test_without_the_token_nothing_is_answered(client, method, address):
    for headers in (
        {},
        {"authorization": TOKEN},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": f"Bearer {TOKEN}x"},
        {"authorization": f"Bearer {TOKEN[:-1]}"},
        {"authorization": "Bearer \xe9"},
        {"cookie": f"token-8000={TOKEN[:-1]}"},
        {"cookie": f"token-9000={TOKEN}"},
    ):
        raw = {name: value.encode("latin-1") for name, value in headers.items()}
        answer = client.request(method, address, headers=raw)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.headers["cache-control"] == "no-store"
        if method != "HEAD":
            refused(answer, 401, r"^A token is needed\. .* or send Authorization: Bearer TOKEN\.$")


def test_a_program_shows_the_token_in_a_header(client):
    for name in ("Bearer", "bearer", "BEARER"):
        headers = {"authorization": f"{name} {TOKEN}"}
        assert client.get("/api/v1/library", headers=headers).json()["sounds"] == 1
    assert client.post("/api/v1/update", headers=BEARER).status_code == 202
    refused(client.get("/nothing", headers=BEARER), 404, "Not Found")


def test_the_page_itself_needs_no_token(client):
    for address in ("/", "/app.js", "/style.css", "/?q=rain"):
        assert client.get(address).status_code == 200


def test_a_browser_gets_a_cookie_for_the_token_of_a_link(client):
    link = link_with("http://192.0.2.1:8000/", TOKEN)
    answer = client.get(link)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert cookie == f"token-8000={TOKEN}; HttpOnly; Path=/; SameSite=strict"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert client.get("/api/v1/library").json()["sounds"] == 1  # the client keeps it
    assert client.get("/api/v1/sounds/0/audio?library=t").content[:4] == b"RIFF"
    foreign = client.post("/api/v1/update", headers={"origin": "http://evil.example"})
    refused(foreign, 403, "another site's page")


def test_the_rest_of_a_link_is_kept(client):
    answer = client.get(f"/?q=a+b%26&tag=Dog&token={TOKEN}&tag=Rain%3E0.1")
    assert unquote(answer.headers["location"]) == "/?q=a+b&&tag=Dog&tag=Rain>0.1"
    assert TOKEN not in answer.headers["location"]


def test_the_link_of_another_token_sets_no_cookie(client):
    for wrong in ("", "x", TOKEN[:-1], "%ff", f"{TOKEN}&token=x"):
        answer = client.get(f"/?token={wrong}")
        refused(answer, 401, "^The token of this link is wrong")
        assert "set-cookie" not in answer.headers


def test_a_token_is_taken_from_the_command_line_a_file_or_the_environment(tmp_path, monkeypatch):
    file = tmp_path / "token.txt"
    file.write_text(f"{TOKEN}file\n")
    monkeypatch.delenv(VARIABLE, raising=False)
    assert choose_token(None, None, open_to_all=False) is None
    monkeypatch.setenv(VARIABLE, f"{TOKEN}variable")
    assert choose_token(None, None, open_to_all=False) == f"{TOKEN}variable"
    assert choose_token(TOKEN, None, open_to_all=False) == TOKEN
    assert choose_token(None, file, open_to_all=False) == f"{TOKEN}file"
    assert choose_token(None, None, open_to_all=True) is None
    for wrong in ("", "short", 15 * "a", 201 * "a", f"{TOKEN} x", f"{TOKEN}é", f"{TOKEN}/"):
        with pytest.raises(InputError, match=r"^--token: a token has 16 to 200 .* Make one: py"):
            choose_token(wrong, None, open_to_all=False)
    with pytest.raises(InputError, match="gone"):
        choose_token(None, tmp_path / "gone.txt", open_to_all=False)


def test_others_are_let_in_on_request_alone(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    serve = load_script("08_serve").main
    with pytest.raises(InputError, match=r"(?s)^on 0\.0\.0\.0, others .*--token-file .*--no-token"):
        serve(["--host", "0.0.0.0"])
    with pytest.raises(InputError, match="a token has 16"):
        serve(["--token", "secret"])
    with pytest.raises(SystemExit):
        serve(["--token", TOKEN, "--no-token"])


def test_a_browser_is_started_without_the_token_among_its_arguments():
    with leading_to(f"http://127.0.0.1:8000/?token={TOKEN}") as address:
        page = Path(urlsplit(address).path)
        assert TOKEN not in address
        assert f"url=http://127.0.0.1:8000/?token={TOKEN}" in page.read_text()
        assert stat.S_IMODE(page.parent.stat().st_mode) == 0o700
    assert not page.exists()
