"""The operator's SSH files of a stack, as a Pulumi resource."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pulumi
from pulumi.dynamic import CreateResult, ReadResult, Resource, UpdateResult

from infra import operator_files
from infra.project import ROOT
from infra.remote.machine import Machine
from infra.resources.provider import OWNER, Props, Provider, is_adopted, owning
from infra.resources.ssh_pool import login_inputs, logins_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from infra.remote.login import Login


class OperatorFilesProvider(Provider):
    """Keeps the files up to date with the machines."""

    compared = ("machines", "private_key", "logins", "written")
    replaced_by = ("folder",)

    def create(self, props: Props) -> CreateResult:
        """Pulumi calls this when the machines' addresses and host keys are known."""
        return CreateResult(props["folder"], _write(owning(props)))

    def update(self, _id: str, olds: Props, news: Props) -> UpdateResult:
        """Pulumi calls this for another machine or key, or if a file was changed."""
        return UpdateResult(_write(owning(news, olds)))

    def read(self, id_: str, props: Props) -> ReadResult:
        """Pulumi calls this on refresh."""
        return ReadResult(id_, {**props, "written": operator_files.are_written(*_files(props))})

    def delete(self, id_: str, props: Props) -> None:
        """Pulumi calls this on destroy."""
        if not is_adopted(props, operator_files.owner_of(ROOT / id_)):
            operator_files.remove(ROOT / id_)


class OperatorFiles(Resource, module="operator", name="OperatorFiles"):
    """SSH configuration, key and known hosts in ``folder``, relative to the project."""

    def __init__(
        self,
        name: str,
        *,
        folder: str,
        machines: Sequence[pulumi.Input[Mapping[str, Any]]],
        private_key: pulumi.Input[str],
        logins: pulumi.Input[Mapping[str, Any]] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """``machines`` are records of ``remote.machine.Machine``."""
        props = {
            "folder": folder,
            "machines": list(machines),
            **login_inputs(private_key, logins),
            "written": True,
        }
        super().__init__(OperatorFilesProvider(), name, props, opts)
        where, context = ROOT / folder, f"dairflow-{pulumi.get_stack()}"
        manager = pulumi.Output.all(machines[0], self.id).apply(lambda known: known[0])
        self.manager_ssh = manager.apply(lambda m: operator_files.ssh_command(where, m["name"]))
        self.docker_context = manager.apply(
            lambda m: operator_files.docker_context_command(
                where, m["name"], context, user=m["user"]
            )
        )


def _files(props: Props) -> tuple[Path, list[Machine], str, dict[str, Login]]:
    machines = [Machine.from_dict(record) for record in props["machines"]]
    return ROOT / props["folder"], machines, props["private_key"], logins_of(props)


def _write(props: Props) -> Props:
    operator_files.write(*_files(props), owner=props[OWNER])
    return {**props, "written": True}
