"""Hosts that exist: the key that is accepted once, and what is refused before they are claimed."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from infra.remote.machine import Machine
from infra.resources.existing import AcceptedHostKeyProvider, ExistingHostsProvider
from infra.resources.provider import ResourceError
from infra.stack.memory import Needs
from infra.swarm.release import Release
from tests.fake_remote import FakePool

HOST = """\
ssh 198.51.100.7 50000 192.0.2.1 22
id debian
version 12
kernel 6.1.0-18-amd64
architecture x86_64
hostname one
address 10.0.0.1 1450
free 20000000
offered 26.1.5
"""


@pytest.mark.parametrize("move", [{"address": "192.0.2.99"}, {"port": 2222}])
def test_a_host_at_another_address_has_to_show_the_key_of_before(move: dict[str, object]) -> None:
    """Else a password would be sent to any server that answers there."""
    record = {"name": "one", "address": "192.0.2.1", "port": 22, "host_key": ""}
    seen = {"host_key": "ssh-ed25519 SEEN", "fingerprint": "SHA256:seen"}
    olds = {**record, **seen, "machine": record}
    news = {**record, **move, "machine": {**record, **move}}
    diff = AcceptedHostKeyProvider().diff("SHA256:seen", olds, news)
    assert (diff.changes, diff.replaces) == (False, [])


def test_a_host_with_another_stack_s_data_is_refused_before_any_is_touched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on = Machine(
        name="one", role="manager", address="10.0.0.1", host_key="A", private_address="10.0.0.1"
    )
    pool = FakePool()
    runner = pool.runner(on).on("check whether", HOST)
    runner.on("look for volumes", "volume airflow_postgres\n")
    monkeypatch.setattr("infra.resources.existing.ssh_pool", lambda _props: nullcontext(pool))
    props = {
        "machines": [on.to_dict()],
        "stack": "0123abcd",
        "adopt": True,
        "manager_ports": [],
        "needed": Needs().to_dict(),
        "release": Release(stack="airflow").to_dict(),
    }
    with pytest.raises(ResourceError, match=r"No host was changed\.\none .*airflow_postgres"):
        ExistingHostsProvider().create(props)
    assert runner.files == {}
    runner.on("look for volumes")
    ExistingHostsProvider().create(props)
    assert len(runner.files) == 3
