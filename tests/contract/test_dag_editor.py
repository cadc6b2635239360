"""The JSON Schema of DAGs in yaml-language-server, which is behind YAML in most editors."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest
from dag_builder.yaml.schema import json_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.contract
LOCKED = Path(__file__).parent / "editor"
BASH = "dag_id: d\ntasks:\n  a:\n    operator: bash\n    "


class Editor:
    """A client of the language server, over its standard streams."""

    def __init__(self, sent: IO[bytes], received: IO[bytes], schema: Path) -> None:
        self.sent, self.received = sent, received
        self.settings = {
            "validate": True,
            "completion": True,
            "schemaStore": {"enable": False},
            "schemas": {schema.as_uri(): "*.yaml"},
        }
        self.count = 0
        capabilities = {"workspace": {"configuration": True}}
        self.request("initialize", processId=None, rootUri=None, capabilities=capabilities)
        self.send(method="initialized", params={})

    def send(self, **message: Any) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.sent.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self.sent.flush()

    def receive(self) -> dict[str, Any]:
        """The next message that is not a question about the client's settings."""
        while True:
            length = 0
            while line := self.received.readline().strip():
                if line.lower().startswith(b"content-length:"):
                    length = int(line.partition(b":")[2])
            assert length, "the language server ended"
            message = json.loads(self.received.read(length))
            if not ("id" in message and "method" in message):
                return message
            items = message["params"].get("items", [])
            asked = [self.settings if item["section"] == "yaml" else {} for item in items]
            self.send(id=message["id"], result=asked or None)

    def request(self, method: str, **params: Any) -> Any:
        self.count += 1
        number = self.count
        self.send(id=number, method=method, params=params)
        while (answer := self.receive()).get("id") != number:
            pass
        return answer["result"]

    def open(self, text: str) -> tuple[str, list[str]]:
        """Open a text. Returns its address, and the messages of what is underlined in it."""
        self.count += 1
        uri = f"file:///dags/{self.count}.yaml"
        document = {"uri": uri, "languageId": "yaml", "version": 1, "text": text}
        self.send(method="textDocument/didOpen", params={"textDocument": document})
        while (message := self.receive()).get("method") != "textDocument/publishDiagnostics" or (
            message["params"]["uri"] != uri
        ):
            pass
        return uri, [one["message"] for one in message["params"]["diagnostics"]]

    def complete(self, text: str) -> list[str]:
        """Complete at the end of a text. Returns the words that are offered."""
        uri, _ = self.open(text)
        lines = text.split("\n")
        found = self.request(
            "textDocument/completion",
            textDocument={"uri": uri},
            position={"line": len(lines) - 1, "character": len(lines[-1])},
        )
        return [item["label"] for item in found["items"]]


@pytest.fixture(scope="module")
def editor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editor]:
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("node and npm are not installed")
    folder = tmp_path_factory.mktemp("editor")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(LOCKED / name, folder)
    subprocess.run(
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    schema = folder / "dag-builder.schema.json"
    schema.write_text(json.dumps(json_schema()), encoding="utf-8")
    server = folder / "node_modules" / "yaml-language-server" / "bin" / "yaml-language-server"
    with subprocess.Popen(
        ["node", str(server), "--stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin
        assert process.stdout
        yield Editor(process.stdin, process.stdout, schema)
        process.kill()


def test_only_the_arguments_of_the_operator_are_offered(editor: Editor) -> None:
    offered = editor.complete(BASH)
    assert {"bash_command", "append_env", "retries", "upstream"} <= set(offered)
    assert len(offered) == len(set(offered))
    assert not {"poke_interval", "soft_fail", "mode", "sla", "python_callable"} & set(offered)


def test_a_sensor_is_offered_its_own(editor: Editor) -> None:
    offered = editor.complete(BASH.replace("bash", "bash_sensor"))
    assert {"bash_command", "poke_interval", "soft_fail"} <= set(offered)
    assert "append_env" not in offered


def test_the_keys_of_a_dag_are_offered_inside_dags(editor: Editor) -> None:
    assert {"schedule", "tags", "tasks"} <= set(editor.complete("dags:\n  d:\n    "))


@pytest.mark.parametrize(
    "text",
    [
        "dag_id: d\ntasks:\n  a: &a {operator: bash, bash_command: x}\n  b: {<<: *a}\n",
        "dag_id: d\ntasks:\n  a: {operator: BashOperator, bash_command: x}\n",
        "dag_id: d\na: []\nb: [a]\n",
        "x-common: &c {retries: 1}\ndag_id: d\ntasks:\n  a: {<<: *c, operator: empty}\n",
    ],
)
def test_what_is_right_is_not_underlined(editor: Editor, text: str) -> None:
    assert editor.open(text)[1] == []


@pytest.mark.parametrize(
    "text",
    [
        f"{BASH}bash_comand: x\n",
        f"{BASH}bash_command: 5\n",
        f"{BASH}bash_command: x\n    sla: 1h\n",
        "dag_id: d\ntgas: [x]\ntasks:\n  a: {operator: empty}\n",
    ],
)
def test_what_is_wrong_is_underlined(editor: Editor, text: str) -> None:
    assert editor.open(text)[1]
