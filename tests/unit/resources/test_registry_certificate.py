"""The registry's certificate as a Pulumi resource: renewed in time, by the next `pulumi up`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest  # noqa: TC002 - pytest reads it

from infra.credentials import CERTIFICATE_DAYS
from infra.resources import keys
from infra.resources.keys import RegistryCertificateProvider

INPUTS = {"addresses": ["10.0.0.11", "127.0.0.1"]}


class Later(datetime):
    """A clock that is a day past the half of a certificate's life."""

    @classmethod
    def now(cls, tz: object = None) -> datetime:  # noqa: ARG003 - datetime's own signature
        return datetime.now(UTC) + timedelta(days=CERTIFICATE_DAYS / 2 + 1)


def test_a_certificate_is_renewed_at_half_of_its_life(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = RegistryCertificateProvider()
    made = provider.create(INPUTS)
    assert made.outs
    assert not provider.diff(made.id, made.outs, INPUTS).changes
    monkeypatch.setattr(keys, "datetime", Later)
    due = provider.diff(made.id, made.outs, INPUTS)
    assert (due.changes, due.replaces) == (True, []), "an update: nothing is replaced"
    renewed = provider.update(made.id, made.outs, INPUTS).outs
    assert renewed
    assert renewed["certificate"] != made.outs["certificate"]
    assert renewed["authority"].endswith(made.outs["authority"]), "the nodes trust both"
    assert set(renewed) == set(made.outs)
    monkeypatch.undo()
    assert not provider.diff(made.id, renewed, INPUTS).changes


def test_a_certificate_is_rotated_by_another_number_alone() -> None:
    provider = RegistryCertificateProvider()
    made = provider.create(INPUTS)
    assert made.outs
    asked = {**INPUTS, "rotation": 1}
    found = provider.diff(made.id, made.outs, asked)
    assert (found.changes, found.replaces) == (True, []), "an update: nothing is replaced"
    first = provider.update(made.id, made.outs, asked).outs
    assert first
    assert not provider.diff(made.id, first, asked).changes
    assert first["private_key"] != made.outs["private_key"]
    assert first["authority"].endswith(made.outs["authority"]), "the nodes trust both"
    second = provider.update(made.id, first, {**INPUTS, "rotation": 2}).outs
    assert second
    assert made.outs["authority"] not in second["authority"], "the first one is trusted no more"
    kept = provider.update(made.id, second, INPUTS).outs
    assert kept
    assert (kept["certificate"], kept["authority"]) == (second["certificate"], second["authority"])
