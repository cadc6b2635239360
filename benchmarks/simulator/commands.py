"""The answers of a simulated host, to the project's own commands and no other.

A command is looked up by its exact text if that is fixed, else by its shape. One that is not
known fails, so that a change of the real commands cannot go unnoticed here.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.simulator.model import Refusal
from infra import ports
from infra.swarm import commands, facts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from benchmarks.simulator.model import Host, Node, Timing

_ENGINE_VERSION = "26.1.5"
_WRITE_FILE = re.compile(
    r"umask 077 && mkdir -p -m 755 \S+ && cat > (?P<path>\S+)\.new && chmod \d+ \S+"
    r" && mv -f \S+ \S+"
)
_INIT = re.compile(r"docker swarm init --advertise-addr (?P<address>\S+) .*")
_REMOVE = re.compile(r"docker node rm --force (?P<node>\w+) > /dev/null 2>&1 \|\| .*")
_TASKS = re.compile(r"docker node inspect --format \S+ (?P<node>\w+) && docker node ps .*")
_JOIN_TAIL = f" && printf '\\n' && {commands.NODE_ID}"


@dataclass(frozen=True, kw_only=True)
class Request:
    """A command as it came in; ``client`` and ``server`` are (address, port) of its connection."""

    script: str
    stdin: bytes
    client: tuple[str, int]
    server: tuple[str, int]


class Shell:
    """Runs commands on one host."""

    def __init__(self, host: Host, timing: Timing) -> None:
        """Take as long for each as ``timing`` says."""
        self._host = host
        self._timing = timing
        self._fixed: dict[str, Callable[[Request], Awaitable[str]]] = {
            facts.SCRIPT: self._facts,
            commands.LOAD_FIREWALL: self._load_firewall,
            commands.CLEAN_MACHINE: self._clean,
            commands.INSTALL_NFTABLES: self._install_nftables,
            commands.INSTALL_ENGINE: self._install_engine,
            commands.FORGET_SWARM: self._leave,
            commands.LEAVE_SWARM: self._leave,
            f"docker system dial-stdio{_JOIN_TAIL}": self._join,
        }
        self._shapes: tuple[
            tuple[re.Pattern[str], Callable[[Request, re.Match[str]], Awaitable[str]]], ...
        ] = (
            (_WRITE_FILE, self._write_file),
            (_INIT, self._init),
            (_REMOVE, self._remove),
            (_TASKS, self._tasks),
            (re.compile(r"docker node update .*", re.DOTALL), self._update),
        )

    async def run(self, request: Request) -> str:
        """Return standard output.

        Raises:
            Refusal: what the host says instead.

        """
        fixed = self._fixed.get(request.script)
        if fixed is not None:
            return await fixed(request)
        for shape, answer in self._shapes:
            found = shape.fullmatch(request.script)
            if found:
                return await answer(request, found)
        message = f"the simulated host does not know this command: {request.script[:200]}"
        raise Refusal(message, status=127)

    async def _facts(self, request: Request) -> str:
        host = self._host
        await asyncio.sleep(self._timing.facts)
        devices = [
            {"mtu": 65536, "addr_info": [{"local": "127.0.0.1"}]},
            {"mtu": 1500, "addr_info": [{"local": host.address}]},
        ]
        sections = {
            "hostname": host.name,
            "ssh": " ".join(map(str, (*request.client, *request.server))),
            "os": "debian",
            "addresses": json.dumps(devices),
            "nft": "/usr/sbin/nft" if host.has_nft else "",
            "firewall": f"{host.firewall_digest}\nlive" if host.ruleset else "",
            "trust": "\n".join(
                f"{hashlib.sha256(content).hexdigest()}  {path}"
                for path, content in host.certificates.items()
            ),
            "esp": "yes",
            "engine": host.engine,
        }
        if host.engine == "running":
            sections["info"] = self._info()
        if host.node is not None and host.node.role == "manager":
            swarm = host.manage()
            await asyncio.sleep(len(swarm.nodes) * self._timing.node_inspect)
            sections["nodes"] = "\n".join(map(self._listed, swarm.nodes.values()))
            sections["tokens"] = f"{swarm.token('worker')}\n{swarm.token('manager')}"
        return "".join(f"\n== {name}\n{text}\n" for name, text in sections.items())

    def _info(self) -> str:
        host, swarm = self._host, self._host.world.swarm
        if not host.node_id or swarm is None:
            values = ("inactive", False, "", "", "", None, "")
            return _line(_ENGINE_VERSION, *values)
        managers = [node for node in swarm.nodes.values() if node.role == "manager"]
        peers = [{"NodeID": n.node_id, "Addr": f"{n.host.address}:{ports.SWARM}"} for n in managers]
        acts = host.node is not None and host.node.role == "manager"
        return _line(
            _ENGINE_VERSION,
            "active",
            acts,
            host.node_id,
            host.address,
            "",
            peers,
            swarm.cluster_id if acts else "",
        )

    def _listed(self, node: Node) -> str:
        manager = {"Leader": node.leader, "Reachability": "reachable"}
        return _line(
            node.node_id,
            node.host.name,
            node.role,
            node.availability,
            self._state(node),
            node.host.address,
            node.labels,
            _ENGINE_VERSION,
            manager if node.role == "manager" else None,
        )

    def _state(self, node: Node) -> str:
        return "down" if node.node_id in self._host.world.left else "ready"

    async def _load_firewall(self, request: Request) -> str:
        await asyncio.sleep(self._timing.firewall)
        self._host.load_firewall(request.stdin)
        return ""

    async def _clean(self, _request: Request) -> str:
        await asyncio.sleep(self._timing.firewall)
        self._host.ruleset = b""
        self._host.certificates.clear()
        return ""

    async def _install_nftables(self, _request: Request) -> str:
        await asyncio.sleep(self._timing.package_install)
        self._host.has_nft = True
        return ""

    async def _install_engine(self, _request: Request) -> str:
        await asyncio.sleep(self._timing.engine_install)
        self._host.engine = "running"
        return ""

    async def _leave(self, request: Request) -> str:
        await asyncio.sleep(self._timing.swarm_leave)
        self._host.leave(force=request.script == commands.FORGET_SWARM)
        return "Node left the swarm.\n"

    async def _join(self, request: Request) -> str:
        self._host.need_engine()
        await asyncio.sleep(self._timing.swarm_join)
        body = json.loads(request.stdin.partition(b"\r\n\r\n")[2])
        managers = [address.rpartition(":")[0] for address in body["RemoteAddrs"]]
        try:
            self._host.join(
                body["JoinToken"], managers, body["AdvertiseAddr"], body["Availability"]
            )
        except Refusal as refusal:
            answer = json.dumps({"message": str(refusal)})
            return f"HTTP/1.1 503 Service Unavailable\r\n\r\n{answer}\n\n{self._host.node_id}\n"
        return f"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n\n{self._host.node_id}\n"

    async def _write_file(self, request: Request, found: re.Match[str]) -> str:
        self._host.certificates[found["path"]] = request.stdin
        return ""

    async def _init(self, _request: Request, found: re.Match[str]) -> str:
        self._host.need_engine()
        await asyncio.sleep(self._timing.swarm_init)
        swarm = self._host.init(found["address"])
        return f"{self._host.node_id}\n{swarm.token('worker')}\n{swarm.token('manager')}\n"

    async def _update(self, request: Request, _found: re.Match[str]) -> str:
        swarm = self._host.manage()
        for command in request.script.split(" && "):
            words = shlex.split(command)
            if words[:3] != ["docker", "node", "update"] or words[-2:] != [">", "/dev/null"]:
                message = f"the simulated host does not know this command: {command[:200]}"
                raise Refusal(message, status=127)
            await asyncio.sleep(self._timing.node_update)
            *options, node_id = words[3:-2]
            _set(swarm.node(node_id), options)
        return ""

    async def _remove(self, _request: Request, found: re.Match[str]) -> str:
        await asyncio.sleep(self._timing.node_update)
        self._host.manage().nodes.pop(found["node"], None)
        return ""

    async def _tasks(self, _request: Request, found: re.Match[str]) -> str:
        await asyncio.sleep(self._timing.node_update)
        return f"{self._state(self._host.manage().node(found['node']))}\n"


def _set(node: Node, options: list[str]) -> None:
    for option, value in zip(options[::2], options[1::2], strict=True):
        match option, value:
            case "--label-add", _:
                key, _, text = value.partition("=")
                node.labels[key] = text
            case "--label-rm", _:
                node.labels.pop(value, None)
            case "--availability", "active" | "drain":
                node.availability = value
            case _:
                message = f"unknown flag: {option} {value}"
                raise Refusal(message, status=125)


def _line(*values: object) -> str:
    return " ".join(json.dumps(value, separators=(",", ":")) for value in values)
