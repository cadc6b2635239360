"""The host key that is accepted once, and what has to happen before another one is."""

from __future__ import annotations

import pytest

from infra.resources.existing import AcceptedHostKeyProvider


@pytest.mark.parametrize("move", [{"address": "192.0.2.99"}, {"port": 2222}])
def test_a_host_at_another_address_has_to_show_the_key_of_before(move: dict[str, object]) -> None:
    """Else a password would be sent to whoever answers there."""
    record = {"name": "one", "address": "192.0.2.1", "port": 22, "host_key": ""}
    seen = {"host_key": "ssh-ed25519 SEEN", "fingerprint": "SHA256:seen"}
    olds = {**record, **seen, "machine": record}
    news = {**record, **move, "machine": {**record, **move}}
    diff = AcceptedHostKeyProvider().diff("SHA256:seen", olds, news)
    assert (diff.changes, diff.replaces) == (False, [])
