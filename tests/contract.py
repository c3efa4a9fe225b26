"""Answers of the API beside what its OpenAPI file says of them."""

import copy
import re

from jsonschema import Draft202012Validator


def closed(schema):
    """A copy of a schema that allows no members beside those that it names."""
    if isinstance(schema, dict):
        made = {key: closed(value) for key, value in schema.items()}
        if made.get("type") == "object" and "properties" in made:
            made.setdefault("additionalProperties", False)
        return made
    return [closed(one) for one in schema] if isinstance(schema, list) else copy.copy(schema)


class Contract:
    """Checks answers against a description of the API, and knows which operations gave them."""

    def __init__(self, described):
        self._components = closed(described["components"])
        self.paths = described["paths"]
        self.answered = set()

    def operation(self, method, path):
        """The operation of an address: its template, and what is said of it; None if none."""
        for template, operations in self.paths.items():
            if re.fullmatch(re.sub(r"{\w+}", "[^/]*", template), path):
                found = operations.get("get" if method == "HEAD" else method.lower())
                return found and (template, found)
        return None

    def validate(self, schema, value):
        """Check a value against a schema that may refer to the components."""
        validator = Draft202012Validator({**schema, "components": self._components})
        found = [f"{one.json_path}: {one.message[:300]}" for one in validator.iter_errors(value)]
        assert found == []

    def check(self, response):
        """Check an answer; of addresses that are none of the API's, only the form of errors."""
        request = response.request
        response.read()
        found = self.operation(request.method, request.url.path)
        if response.status_code >= 400 and request.method != "HEAD":
            assert response.headers["content-type"] == "application/json"
            assert list(response.json()) == ["error"]
            assert isinstance(response.json()["error"], str)
        if found is None:
            return
        template, described = found
        status = response.status_code
        where = f"{request.method} {template} {status}"
        assert str(status) in described["responses"], where
        if status >= 400 or request.method == "HEAD":
            return
        self.answered.add((request.method, template))
        content = described["responses"][str(status)].get("content", {})
        media = response.headers.get("content-type", "").partition(";")[0]
        if not response.content:
            assert not content, where
            return
        (known,) = [one for one in content if re.fullmatch(one.replace("*", ".*"), media)]
        if schema := content[known].get("schema"):
            self.validate(closed(schema), response.json())


def checked(client, contract):
    """Let a client of the application check each answer."""
    client.event_hooks = {"response": [contract.check]}
    return client
