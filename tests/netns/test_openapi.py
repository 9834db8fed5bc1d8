"""docs/openapi.yaml against the route table, against docs/api.md, and against what a running edged answers."""
import contextlib
import copy
import json
import os
import re
import urllib.parse

import jsonschema
import pytest
import yaml

from harness import CLIENT, FLOATING, ApiError, connect, until
from harness.edged import TOP, UnixConnection

METHODS = ("get", "post", "put", "delete", "patch")


def read(path):
    with open(os.path.join(TOP, path), encoding="utf-8") as file:
        return file.read()


@pytest.fixture(scope="module")
def document():
    return yaml.safe_load(read("docs/openapi.yaml"))


def operations(document):
    """{(method, path): operation}"""
    return {(method.upper(), path): item[method] for path, item in document["paths"].items() for method in item
            if method in METHODS}


def routes():
    """{(method, pattern): right} as the api role has them."""
    found = re.findall(r'\{"([A-Z]+)", "([^"]+)", RIGHT_(READ|WRITE), (?:true|false)\}', read("daemon/api/routes.c"))
    return {(method, pattern): right.lower() for method, pattern, right in found}


def nodes(value, path="#"):
    """(path, node) of everything in a document."""
    yield path, value
    if isinstance(value, dict):
        for key, item in value.items():
            yield from nodes(item, f"{path}/{key}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from nodes(item, f"{path}/{number}")


def resolve(document, reference):
    assert reference.startswith("#/"), reference
    value = document
    for key in reference[2:].split("/"):
        value = value[key]
    return value


# -- the document ----------------------------------------------------------------

def test_every_route_is_described_and_nothing_else(document):
    described = {key: operation["x-right"] for key, operation in operations(document).items()}
    assert routes() and described == routes()


def test_main_serves_the_same_routes():
    served = {(method, path.replace("*", "{}")): write == "true" for method, path, write in
              re.findall(r'\{"([A-Z]+)", "([^"]+)", (true|false), answer_\w+, \w+\}', read("daemon/request.c"))}
    assert served == {(method, re.sub(r"\{\w+\}", "{}", path)): right == "write" for (method, path), right in routes().items()}


def test_the_page_for_people_names_the_same_routes(document):
    named = set()
    for line in re.findall(r"^\| (?:GET|POST|DELETE) .*?\|", read("docs/api.md"), re.M):
        method, rest = line.strip("| ").split(" ", 1)
        first, *others = rest.split(", ")
        path = re.sub(r"\b(NAME|ADDR)\b", "{}", first.split("?")[0])
        named.add((method, path))
        named.update((method, path.rsplit("/", 1)[0] + other) for other in others)
    assert named == {(method, re.sub(r"\{\w+\}", "{}", path)) for method, path in operations(document)}


def test_references_resolve_and_all_is_used(document):
    used = set()
    for _, node in nodes(document):
        if isinstance(node, dict) and "$ref" in node:
            resolve(document, node["$ref"])
            used.add(node["$ref"])
    for kind in ("schemas", "responses", "parameters"):
        for name in document["components"][kind]:
            assert f"#/components/{kind}/{name}" in used, f"{name} is used nowhere"


def test_operations_are_complete(document):
    identifiers = [operation["operationId"] for operation in operations(document).values()]
    assert len(set(identifiers)) == len(identifiers)
    for (method, path), operation in operations(document).items():
        where = f"{method} {path}"
        assert operation["summary"] and operation["tags"] and operation["x-right"] in ("read", "write"), where
        assert {"200", "400", "403", "500", "503", "504"} <= set(operation["responses"]), where
        parameters = [parameter if "name" in parameter else resolve(document, parameter["$ref"])
                      for parameter in operation.get("parameters", [])]
        in_path = {parameter["name"] for parameter in parameters if parameter["in"] == "path"}
        assert in_path == set(re.findall(r"\{(\w+)\}", path)), where
        assert method == "POST" or "requestBody" not in operation, where
        for response in operation["responses"].values():
            response = resolve(document, response["$ref"]) if "$ref" in response else response
            assert response["description"] and response["content"], where
    assert document["openapi"].startswith("3.1.") and {"title", "version"} <= set(document["info"])


def test_schemas_are_schemas(document):
    for name, schema in document["components"]["schemas"].items():
        jsonschema.Draft202012Validator.check_schema(schema)
        for path, node in nodes(schema, name):
            if isinstance(node, dict) and isinstance(node.get("properties"), dict) and "required" in node:
                assert set(node["required"]) <= set(node["properties"]), path


# -- the answers --------------------------------------------------------------------

def closed(document):
    """The document with every object closed: an answer may then have no field that is not described."""
    document = copy.deepcopy(document)
    for _, node in nodes(document["components"]["schemas"]):
        if isinstance(node, dict) and isinstance(node.get("properties"), dict):
            node["additionalProperties"] = False
    return document


def validator(document, schema):
    resolver = jsonschema.RefResolver("", document)
    return jsonschema.Draft202012Validator(schema, resolver=resolver,
                                           format_checker=jsonschema.draft202012_format_checker)


class Speaker:
    """Asks a running edged, and holds each answer against the document."""

    def __init__(self, document, edged):
        self.document, self.edged, self.said = closed(document), edged, set()

    def ask(self, method, pattern, body=None, expect=200, query="", **names):
        operation = self.document["paths"][pattern][method.lower()]
        target = pattern.format(**{key: urllib.parse.quote(value, safe="") for key, value in names.items()}) + query
        if "requestBody" in operation and body is not None:
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            validator(self.document, schema).validate(body)
        status, answer = self.request(method, target, body)
        assert status == expect, (method, target, status, answer)
        response = operation["responses"][str(status)]
        response = resolve(self.document, response["$ref"]) if "$ref" in response else response
        if "application/json" in response["content"]:
            validator(self.document, response["content"]["application/json"]["schema"]).validate(answer)
        self.said.add((method, pattern))
        return answer

    def request(self, method, target, body):
        try:
            return 200, self.edged.request(method, target, body)
        except ApiError as error:
            return error.status, error.answer


def test_every_answer_is_as_described(document, net, start):
    edged = start()
    edged.wait_forwards_up("https")
    api = Speaker(document, edged)
    for pattern in ("status", "forwards", "nodes", "rules", "tunnels", "limits", "config/running", "history", "version"):
        assert api.ask("GET", f"/v1/{pattern}")
    with contextlib.closing(connect(net.internet, CLIENT, FLOATING, 443)):
        until(lambda: api.ask("GET", "/v1/connections"), 5, "the connection to be listed")
    assert "edged_revision" in api.ask("GET", "/metrics")
    api.ask("GET", "/v1/config", query="?blocklists=no")
    api.ask("GET", "/v1/connections", query="?forward=nothing", expect=404)
    assert api.ask("POST", "/v1/check", {})["ok"]
    assert not api.ask("POST", "/v1/plan", {})["changes"]
    api.ask("POST", "/v1/explain", {"from": "198.51.100.77", "to": "203.0.113.10:443/tcp", "in": "wan"})
    api.ask("POST", "/v1/explain", {"from": "nonsense", "to": "203.0.113.10:443/tcp", "in": "wan"}, expect=400)

    assert api.ask("POST", "/v1/bans", {"address": "203.0.113.128/25", "seconds": 60})["expires"]
    assert api.ask("POST", "/v1/bans", {"address": "2001:db8:99::/64"})["expires"] is None
    api.ask("POST", "/v1/bans", {"address": "nonsense"}, expect=400)
    assert len(api.ask("GET", "/v1/bans")) == 2
    api.ask("DELETE", "/v1/bans/{address}", address="2001:db8:99::/64")
    api.ask("DELETE", "/v1/bans/{address}", address="192.0.2.99", expect=404)
    assert api.ask("POST", "/v1/nodes/{name}/drain", name="k8s-1")["draining"]
    assert not api.ask("POST", "/v1/nodes/{name}/undrain", name="k8s-1")["draining"]
    api.ask("POST", "/v1/nodes/{name}/drain", name="nobody", expect=404)
    assert api.ask("POST", "/v1/tunnels/{name}/rotate", name="wg0")["rotating"]
    api.ask("POST", "/v1/tunnels/{name}/rotate", name="wg0", expect=409)
    api.ask("POST", "/v1/tunnels/{name}/rotate", name="nothing", expect=404)
    assert api.ask("GET", "/v1/tunnels")[0]["rotation"]["waits_for"]
    assert api.ask("GET", "/v1/status")["tunnels"]["rotation_waits"]

    files = api.ask("GET", "/v1/config")["files"]
    assert files[0]["name"] == "edged.yaml"
    files[0]["text"] = files[0]["text"].replace("reason: public web", "reason: the public web")
    assert api.ask("POST", "/v1/apply", {"files": files, "dry_run": True})["changes"]
    assert api.ask("POST", "/v1/apply", {"files": files, "message": "by test", "confirm_within_seconds": 600})["pending"]
    assert api.ask("GET", "/v1/status")["pending"]
    assert api.ask("POST", "/v1/confirm")["revision"] == 2
    api.ask("POST", "/v1/confirm", expect=409)
    api.ask("POST", "/v1/apply", {"files": files, "base": 1}, expect=409)
    assert "the public web" in api.ask("GET", "/v1/diff", query="?from=1&to=2")["diff"]
    api.ask("GET", "/v1/diff", query="?from=77", expect=404)
    assert api.ask("POST", "/v1/rollback", {"to": 1})["revision"] == 3
    broken = [{"name": "edged.yaml", "text": files[0]["text"].replace("to: ingress:30443", "to: nothing:30443")}]
    assert api.ask("POST", "/v1/apply", {"files": broken}, expect=422)["diagnostics"]
    assert api.ask("POST", "/v1/check", {"files": broken})["errors"]
    api.ask("POST", "/v1/plan", {"files": broken}, expect=422)
    api.ask("POST", "/v1/flush", expect=400)
    assert api.ask("POST", "/v1/flush", {"yes": True}) == {}
    assert api.said == set(operations(document)), "every operation was asked for"


def test_what_a_body_may_not_hold_is_refused(start):
    """A misspelt confirm_within_seconds or a dry_run of "yes" would otherwise be an apply for good."""
    edged = start()
    revision, main = edged.get("/v1/status")["revision"], {"name": "edged.yaml", "text": edged.read()}
    for path, body, why in (("apply", {"confirm_within": 60}, "unknown key"),
                            ("apply", {"dryrun": True}, 'did you mean "dry_run"?'),
                            ("apply", {"dry_run": "yes"}, '"dry_run" is not true or false'),
                            ("apply", {"base": "1"}, '"base" is not a whole number'),
                            ("rollback", {"to": "1"}, '"to" is not a whole number'),
                            ("bans", {"address": CLIENT, "secnds": 1}, 'did you mean "seconds"?'),
                            ("bans", {"address": CLIENT, "seconds": 2**63 - 1}, "from 1 to 315360000"),
                            ("bans", {"address": CLIENT, "seconds": 0}, "from 1 to 315360000"),
                            ("apply", {"files": [main, {"name": "../../x", "text": ""}]}, 'files[1]: "../../x" is no name'),
                            ("check", {"files": [main, {"name": "/etc/x", "text": ""}]}, 'files[1]: "/etc/x" is no name'),
                            ("confirm", {"yes": True}, "unknown key")):
        connection = UnixConnection(edged.socket, 30)
        connection.request("POST", f"/v1/{path}", json.dumps(body))
        response = connection.getresponse()
        answer = json.loads(response.read())
        connection.close()
        assert response.status == 400 and why in answer["error"], (path, body, answer)
    assert edged.get("/v1/status")["revision"] == revision and edged.get("/v1/bans") == []


def test_hostile_bodies_are_answered(start):
    """Whatever JSON, or what is none, comes as a body: an answer below 500, and edged lives on."""
    edged = start()
    values = [b"", b"{", b"[]", b"null", b"1e999", b'"text"', b"{}{}", b"\xff\xfe", b"[" * 100000, b'{"a":' * 5000,
              b'{"files": null}', b'{"files": {}}', b'{"files": [1]}', b'{"files": [{"name": 1, "text": 2}]}',
              b'{"files": [{"name": "../../etc/passwd", "text": "x"}]}',
              b'{"files": [{"name": "edged.yaml", "text": "\\u0000"}]}',
              b'{"address": 1, "seconds": "x", "from": {}, "to": [], "in": null, "message": [], "base": "a", "yes": 1}',
              b'{"address": "192.0.2.1", "seconds": -1}', b'{"address": "192.0.2.1", "seconds": 9223372036854775807}',
              b'{"address": "192.0.2.1", "seconds": 99999999999999999999}',
              b'{"confirm_within_seconds": 1e3, "dry_run": "yes", "to": -1}', b'{"to": 99999999999}', b'{"a": 1, "a": 2}']
    for path in ("check", "plan", "explain", "bans", "rollback", "flush", "nodes/nobody/drain", "nodes/%00/drain",
                 "nodes/%ff%fe/drain"):
        for body in values:
            connection = UnixConnection(edged.socket, 30)
            connection.request("POST", f"/v1/{path}", body)
            response = connection.getresponse()
            text = response.read()
            connection.close()
            assert response.status < 500 or path == "rollback", (path, body[:60], response.status, text[:300])
            assert "error" in json.loads(text) or response.status == 200
    for target in ("/v1/config?revision=", "/v1/config?revision=-1", "/v1/config?revision=99999999999999999999",
                   "/v1/diff?from=x", "/v1/connections?forward=%00%ff", "/v1/connections?forward=" + "a" * 3000):
        with pytest.raises(ApiError) as refused:
            edged.get(target)
        assert refused.value.status in (400, 404), (target, refused.value)
    assert edged.get("/v1/status?%%%&&=&revision")["revision"]
