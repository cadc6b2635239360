"""Wrong settings with the real command line: one report, at preview, and nothing made.

Pulumi's own check of settings comes before the program, so only its command line shows that it
leaves a wrong type to the program's report.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
import yaml
from project import Project, make_project

from infra.remote.keys import generate_key_pair

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

STACK = "test-settings"
A_LIST = "a list, set with --path '{}[0]' for its first entry, and so on"
ODD = (
    "an odd number (1, 3, 5 or 7): one more than that tolerates no more failures, because the swarm"
    " needs a majority"
)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    project = make_project(tmp_path, STACK, web_port=8080, flower_port=5555)
    yield project
    client = docker.from_env()
    made = client.containers.list(all=True, filters={"name": f"dairflow-{STACK}"})
    networks = client.networks.list(names=[f"dairflow-{STACK}"])
    client.close()
    assert not made
    assert not networks
    assert not json.loads(project.pulumi("stack", "export"))["deployment"].get("resources")


def write(project: Project, **settings: object) -> None:
    """Write settings as a user's editor does."""
    file = project.folder / f"Pulumi.{STACK}.yaml"
    written = yaml.safe_load(file.read_text())
    written["config"] |= {f"dairflow:{key}": value for key, value in settings.items()}
    file.write_text(yaml.safe_dump(written))


def report(printed: str) -> list[str]:
    """Return the lines of the one report in what Pulumi printed."""
    assert "Traceback" not in printed
    lines = [line.strip() for line in printed.splitlines()]
    assert lines.count("error: These settings are not valid:") == 1
    start = lines.index("error: These settings are not valid:")
    end = next(n for n, line in enumerate(lines) if line.startswith("Nothing was created"))
    return lines[start + 1 : end]


def test_mistakes_of_every_kind_are_in_one_report(project: Project) -> None:
    project.set("workers", "two")
    project.set("adopt", "perhaps")
    project.set("allowedCidrs", "192.0.2.0/24")
    project.set("target", "gcp")
    project.set("wrokers", 3)
    project.pulumi("config", "set", "--path", "imageName[0]", "airflow")
    write(
        project,
        managers=2,
        taskGrace=5,
        webPort=5000,
        workerConcurrency=2.5,
        awsSpotWorkers="on",
        awsSubnetIds=7,
        connectionsPerSecond=True,
        flowerPort=None,
    )
    expected = {
        "workers: 'two' is not valid. Use a whole number.",
        "adopt: 'perhaps' is not valid. Use true or false.",
        f"allowedCidrs: '192.0.2.0/24' is not valid. Use {A_LIST.format('allowedCidrs')}.",
        "target: 'gcp' is not valid. Use 'local', 'existing' or 'aws'.",
        "wrokers: unknown setting. Did you mean workers?",
        "imageName: ['airflow'] is not valid. Use one text, not a list or an object.",
        f"managers: '2' is not valid. Use {ODD}.",
        "taskGrace: '5' is not valid. Use 10 or more.",
        "webPort: '5000' is not valid. Use another port: this one is the registry's.",
        "workerConcurrency: '2.5' is not valid. Use a whole number.",
        "awsSpotWorkers: 'on' is not valid. Use true or false.",
        f"awsSubnetIds: '7' is not valid. Use {A_LIST.format('awsSubnetIds')}.",
        "connectionsPerSecond: 'true' is not valid. Use a whole number.",
        "flowerPort: '' is not valid. Use a whole number.",
    }
    printed = project.pulumi("preview", check=False)
    assert set(report(printed)) == expected
    assert set(report(project.pulumi("up", "--yes", check=False))) == expected


def test_hosts_and_their_passwords(project: Project) -> None:
    """Even if a secret is in the wrong place: it is not shown, and plain values are."""
    secret = ("config", "set", "--secret")
    key = generate_key_pair().public
    hosts = [
        {"name": name, "role": role, "address": f"192.0.2.{number}", "hostKey": key}
        for name, role, number in (("head", "boss", 1), ("first", "worker", 2))
    ]
    write(project, target="existing", hosts=hosts)
    project.pulumi(*secret, "--path", "hosts[0].password", "4711")
    project.pulumi(*secret, "--path", "hosts[1].pasword", "the-secret-1")
    project.pulumi(*secret, "--path", "hosts[1].privateKeyFile", "the-secret\n2")
    project.pulumi(*secret, "--path", "hosts[1].port", "no")
    project.pulumi(*secret, "taskGrace", "12 s")
    printed = project.pulumi("preview", check=False)
    lines = report(printed)
    assert "hosts[0].role: 'boss' is not valid. Use 'manager' or 'worker'." in lines
    hidden = "the value (not shown) is not valid. Use"
    for expected in (
        "hosts[1].pasword: unknown setting. Did you mean password?",
        f"hosts[1].privateKeyFile: {hidden} a readable file",
        f"hosts[1].port: {hidden} a whole number",
        f"taskGrace: {hidden} a whole number",
    ):
        assert any(line.startswith(expected) for line in lines), expected
    for text in ("4711", "the-secret", "'no'", "12 s"):
        assert text not in printed

    for path in ("hosts[1].pasword", "hosts[1].privateKeyFile", "taskGrace"):
        project.pulumi("config", "rm", "--path", path)
    project.pulumi("config", "set", "--path", "hosts[0].role", "manager")
    project.pulumi("config", "set", "--path", "hosts[1].port", "2222")
    project.pulumi("config", "set", "--path", "hosts[1].labels.rack", "7")
    project.pulumi(*secret, "--path", "hosts[1].password", "true")
    printed = project.pulumi("preview")
    assert re.search(r'name *: "first"\s+role *: "worker"', printed)
