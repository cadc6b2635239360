"""Runs commands over SSH with paramiko, on machines whose host keys are known beforehand."""

from __future__ import annotations

import base64
import contextlib
import io
import logging
import shlex
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Self, TypeVar

import paramiko
import tenacity
from paramiko.pkey import UnknownKeyType

from infra import ports
from infra.remote.deadline import LOAD, Deadline, is_overloaded
from infra.remote.login import Login
from infra.remote.machine import Jump, Machine
from infra.remote.runner import (
    DEFAULT_COMMAND_TIMEOUT_SECONDS,
    Completed,
    LoginRefusedError,
    RemoteError,
    shown_command,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from infra.remote.rate_limit import RateLimit

# paramiko logs every attempt on a machine that still boots as an error with a traceback, and Python
# prints unhandled log records. A final failure is a `RemoteError`.
logging.getLogger("paramiko").addHandler(logging.NullHandler())

DEFAULT_CONNECT_TIMEOUT_SECONDS = 60.0
_ATTEMPT_TIMEOUT_SECONDS = 10.0
MUTE = "it accepts the connection, but does not answer"
_RETRY_PAUSE_SECONDS = 0.1
_RETRY_PAUSE_MAX_SECONDS = 2.0
_KEEPALIVE_SECONDS = 15
_SESSIONS_PER_CONNECTION = 8
"""OpenSSH's MaxSessions is 10 by default."""
_LOAD_TIMEOUT_SECONDS = 30.0
_CHUNK_BYTES = 65536
_NO_ORIGIN = ("127.0.0.1", 0)
"""Originator of a forwarded connection (RFC 4254, 7.2); it has no effect."""

Result = TypeVar("Result")


class SshRunner:
    """A live connection to a machine; several threads may run commands over it."""

    def __init__(
        self,
        machine: Machine,
        client: paramiko.SSHClient,
        *,
        jump: SshRunner | None = None,
        sudo_password: str = "",
    ) -> None:
        """``client`` is connected through ``jump``, and its host key is verified. See `connect`.

        ``sudo_password`` is passed to sudo with every command; empty if sudo does not need one.
        """
        self._machine = machine
        self._client = client
        self._jump = jump
        self._sudo_password = sudo_password
        self._sessions = threading.BoundedSemaphore(_SESSIONS_PER_CONNECTION)
        self._asking = threading.Lock()

    @property
    def machine(self) -> Machine:
        """The machine that commands run on."""
        return self._machine

    @property
    def is_alive(self) -> bool:
        """Whether the connection is alive according to keep-alives."""
        transport = self._client.get_transport()
        return transport is not None and transport.is_active()

    def run(
        self,
        command: str,
        *,
        stdin: bytes | None = None,
        timeout: float = DEFAULT_COMMAND_TIMEOUT_SECONDS,
        check: bool = True,
    ) -> Completed:
        """Run a command as root; see `infra.remote.runner.Runner.run`."""
        needs_password = bool(self._sudo_password)
        shell = _as_root(self._machine, command, needs_password=needs_password)
        if needs_password:
            stdin = self._sudo_password.encode() + b"\n" + (stdin or b"")
        return self._run(command, shell, stdin=stdin, timeout=timeout, check=check)

    def sudo_password_needed(self) -> bool:
        """Return whether sudo needs a password, regardless of its cache.

        Raises:
            RemoteError: if the connection was lost.

        """
        command = "sudo -n -k true"
        return self._run(command, command, timeout=_ATTEMPT_TIMEOUT_SECONDS, check=False).failed

    def with_sudo_password(self, password: str) -> SshRunner:
        """Return a runner over the same connection that passes a password to sudo."""
        return SshRunner(self._machine, self._client, jump=self._jump, sudo_password=password)

    def _run(
        self,
        command: str,
        shell: str,
        *,
        stdin: bytes | None = None,
        timeout: float,
        check: bool,
    ) -> Completed:
        """Run ``shell``; errors show ``command``."""
        with self._sessions:
            deadline = Deadline(timeout, self._is_busy)
            channel = self._open(command, timeout)
            with channel:
                try:
                    completed = _converse(channel, shell, stdin, deadline)
                except TimeoutError as exc:
                    raise RemoteError(
                        machine=self._machine,
                        tried=shown_command(command),
                        answer=f"it did not end within {deadline.waited()}",
                        next_step="check on the machine what it waits for, then rerun the command",
                    ) from exc
                except (paramiko.SSHException, OSError, EOFError) as exc:
                    raise self._lost(command, exc) from exc
        if completed is None:
            raise self._lost(command, None)
        if check and completed.exit_status != 0:
            raise RemoteError.of_command(self._machine, command, completed)
        return completed

    def write_file(self, path: str, content: bytes, *, mode: int = 0o644) -> None:
        """Write a file atomically; see `infra.remote.runner.Runner.write_file`."""
        target = shlex.quote(path)
        folder = shlex.quote(str(PurePosixPath(path).parent))
        self.run(
            f"umask 077 && mkdir -p -m 755 {folder} && cat > {target}.new"
            f" && chmod {mode:o} {target}.new && mv -f {target}.new {target}",
            stdin=content,
        )

    def dial(self, address: str, port: int) -> paramiko.Channel:
        """Open a TCP connection from the machine to ``address``, through this connection.

        Raises:
            RemoteError: if nothing answers there, or sshd does not forward ports.

        """
        transport = self._client.get_transport()
        tried = f"connected from there to {address}:{port}"
        if transport is None:
            raise self._lost(tried, None)
        try:
            return transport.open_channel(
                "direct-tcpip", (address, port), _NO_ORIGIN, timeout=_ATTEMPT_TIMEOUT_SECONDS
            )
        except paramiko.ChannelException as exc:
            raise RemoteError(
                machine=self._machine,
                tried=tried,
                answer=f"refused ({exc.text})",
                next_step=(
                    "check that a program listens there, and that sshd allows forwarding: `sshd -T"
                    " | grep -i allowtcpforwarding` must print `yes`"
                ),
            ) from exc
        except (paramiko.SSHException, OSError, EOFError) as exc:
            raise self._lost(tried, exc) from exc

    def close(self) -> None:
        """End the connection."""
        self._client.close()
        if self._jump is not None:
            self._jump.close()

    def __enter__(self) -> Self:
        """Use the runner as a context manager that closes it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the connection."""
        self.close()

    def _is_busy(self) -> bool:
        """Whether the machine answers, and is overloaded."""
        deadline = Deadline(_LOAD_TIMEOUT_SECONDS, lambda: False)
        try:
            # A session more than `_SESSIONS_PER_CONNECTION`: those may all wait for this answer.
            with self._asking, self._open(LOAD, _LOAD_TIMEOUT_SECONDS) as channel:
                answer = _converse(channel, LOAD, None, deadline)
        except (RemoteError, paramiko.SSHException, OSError, EOFError):
            return False
        return answer is not None and is_overloaded(answer.stdout)

    def _open(self, command: str, timeout: float) -> paramiko.Channel:
        transport = self._client.get_transport()
        if transport is None:
            raise self._lost(command, None)
        try:
            return transport.open_session(timeout=timeout)
        except (paramiko.SSHException, OSError, EOFError) as exc:
            raise self._lost(command, exc) from exc

    def _lost(self, command: str, cause: BaseException | None) -> RemoteError:
        return RemoteError(
            machine=self._machine,
            tried=shown_command(command),
            answer=f"the SSH connection was lost ({cause or 'no exit status was returned'})",
            next_step="check that the machine runs, then rerun the command",
        )


def connect(
    machine: Machine,
    login: Login | str,
    *,
    timeout: float = DEFAULT_CONNECT_TIMEOUT_SECONDS,
    rate_limit: RateLimit | None = None,
) -> SshRunner:
    """Connect to a machine, waiting at most ``timeout`` seconds for its sshd to answer.

    ``login`` may be the operator's private key alone, in OpenSSH's PEM format. Every attempt waits
    for the rate limit; the first wait does not count for ``timeout``.

    Raises:
        RemoteError: at once if the host key is another one, the login is rejected, or sudo rejects
            the password; after the timeout if nothing answers.

    """
    if isinstance(login, str):
        login = Login(private_key=login)
    connector = _Connector(machine, login)
    runner = _retrying(machine, timeout, connector.connect, rate_limit)
    if machine.user == "root" or not login.password or not runner.sudo_password_needed():
        return runner
    runner = runner.with_sudo_password(login.password)
    if runner.run("true", check=False).failed:
        runner.close()
        raise RemoteError(
            machine=machine,
            tried="became root with sudo and the configured password",
            answer="sudo rejects it",
            next_step=f"fix the password; or allow {machine.user} to use sudo there",
        )
    return runner


def shown_host_key(
    machine: Machine,
    login: Login,
    *,
    timeout: float = DEFAULT_CONNECT_TIMEOUT_SECONDS,
    rate_limit: RateLimit | None = None,
) -> HostKey:
    """Read a machine's unverified host key. Only the protocol's greetings are sent.

    Every attempt waits for the rate limit.

    Raises:
        RemoteError: if nothing answers within ``timeout`` seconds; or see `connect`, for the jump
            host.

    """
    return _retrying(
        machine, timeout, lambda limit: _shown_host_key(machine, login, limit), rate_limit
    )


@dataclass(frozen=True, kw_only=True)
class HostKey:
    """A public host key: ``ssh-ed25519 AAAA…``, and ``SHA256:…`` as OpenSSH shows it."""

    text: str
    fingerprint: str


def _retrying(
    machine: Machine,
    timeout: float,
    attempt: Callable[[float], Result],
    rate_limit: RateLimit | None = None,
) -> Result:
    """Retry until something answers, for at most ``timeout`` seconds."""

    def take_turn() -> None:
        """Wait for the rate limit; a jump host needs a second connection."""
        for _ in range(2 if machine.jump else 1):
            if rate_limit:
                rate_limit.wait()

    def sleep(seconds: float) -> None:
        time.sleep(seconds)
        take_turn()

    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_delay(timeout),
        wait=tenacity.wait_exponential(
            multiplier=_RETRY_PAUSE_SECONDS, max=_RETRY_PAUSE_MAX_SECONDS
        ),
        retry=tenacity.retry_if_not_exception_type(RemoteError),
        sleep=sleep,
        reraise=True,
    )
    take_turn()
    try:
        return retrying(attempt, min(timeout, _ATTEMPT_TIMEOUT_SECONDS))
    except (paramiko.SSHException, OSError, EOFError) as exc:
        raise RemoteError(
            machine=machine,
            tried=f"waited {timeout:g} s for SSH",
            answer=_error_text(exc),
            next_step=(
                "check that the machine runs, that sshd listens there, and that no firewall"
                " between here and there drops the connection; then rerun the command"
            ),
        ) from exc


def _error_text(exc: BaseException) -> str:
    """Return an error's text, and a clearer one for a machine that hangs."""
    text = str(exc)
    return MUTE if text == "No existing session" else text or type(exc).__name__


class _Connector:
    """Connector to a machine, with its address and login."""

    def __init__(self, machine: Machine, login: Login) -> None:
        """Parse the key.

        Raises:
            RemoteError: if it is not a key; or if there is neither a key nor a password.

        """
        if not (login.private_key or login.password):
            raise RemoteError(
                machine=machine,
                tried="logged in",
                answer="neither a key nor a password is set for it",
                next_step="set one of them",
            )
        self._machine = machine
        self._login = login
        self._key = _read_private_key(machine, login.private_key) if login.private_key else None

    def connect(self, timeout: float) -> SshRunner:
        """Connect and log in.

        Raises:
            RemoteError: if the host key is another one, or the login is rejected.
                paramiko.SSHException, OSError, EOFError: if nothing answers (yet).

        """
        machine, client = self._machine, paramiko.SSHClient()
        _pin(client, machine)
        jump = _jump(machine, self._login, timeout)
        try:
            client.connect(
                machine.address,
                port=machine.port,
                username=machine.user,
                pkey=self._key,
                password=self._login.password or None,
                sock=jump.dial(machine.address, machine.port) if jump else None,
                timeout=timeout,
                banner_timeout=timeout,
                auth_timeout=timeout,
                channel_timeout=timeout,
                allow_agent=False,
                look_for_keys=False,
            )
            transport = client.get_transport()
            if transport is not None:
                transport.set_keepalive(_KEEPALIVE_SECONDS)
        except BaseException as exc:
            client.close()
            if jump:
                jump.close()
            if isinstance(exc, paramiko.BadHostKeyException):
                raise _another_machine(machine, exc.key) from exc
            if isinstance(exc, paramiko.AuthenticationException):
                raise _refused(machine, self._key, exc) from exc
            raise
        return SshRunner(machine, client, jump=jump)


def _jump(machine: Machine, login: Login, timeout: float) -> SshRunner | None:
    """Connect to the jump host, if there is one."""
    if machine.jump is None:
        return None
    host = _as_machine(machine, machine.jump)
    return _Connector(host, login.of_jump).connect(timeout)


def _as_machine(behind: Machine, jump: Jump) -> Machine:
    return Machine(
        name=f"the jump host of {behind.name}",
        role=behind.role,
        address=jump.address,
        host_key=jump.host_key,
        private_address=jump.address,
        port=jump.port,
        user=jump.user,
    )


def _shown_host_key(machine: Machine, login: Login, timeout: float) -> HostKey:
    jump = _jump(machine, login, timeout)
    try:
        where = (machine.address, machine.port)
        wire = jump.dial(*where) if jump else socket.create_connection(where, timeout=timeout)
        transport = paramiko.Transport(wire)
        try:
            transport.start_client(timeout=timeout)
            key = transport.get_remote_server_key()
        finally:
            transport.close()
    finally:
        if jump:
            jump.close()
    return HostKey(text=f"{key.get_name()} {key.get_base64()}", fingerprint=key.fingerprint)


def _read_private_key(machine: Machine, private_key: str) -> paramiko.PKey:
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        try:
            return kind.from_private_key(io.StringIO(private_key))
        except (paramiko.SSHException, ValueError):
            continue  # Another kind of key; the format does not show the kind.
    raise RemoteError(
        machine=machine,
        tried="read the operator's private key",
        answer="it is not an Ed25519, ECDSA or RSA key in OpenSSH's format without a passphrase",
        next_step="generate one with `ssh-keygen -t ed25519` and set it",
    )


def _pin(client: paramiko.SSHClient, machine: Machine) -> None:
    """Make the client accept only the machine's own host key."""
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    try:
        kind, encoded = machine.host_key.split()[:2]
        key = paramiko.PKey.from_type_string(kind, base64.b64decode(encoded, validate=True))
    except (paramiko.SSHException, UnknownKeyType, ValueError) as exc:
        raise _unreadable(machine) from exc
    client.get_host_keys().add(_known_as(machine), kind, key)


def _known_as(machine: Machine) -> str:
    """Return the name of a host in an SSH client's known hosts (sshd(8), known_hosts)."""
    if machine.port == ports.SSH:
        return machine.address
    return f"[{machine.address}]:{machine.port}"


def _unreadable(machine: Machine) -> RemoteError:
    return RemoteError(
        machine=machine,
        tried="read the host key that is set for it",
        answer=f"{machine.host_key[:60]!r} is not an OpenSSH public key",
        next_step="set it as `ssh-keyscan -t ed25519 HOST` prints it: ssh-ed25519 AAAA…",
    )


def _another_machine(machine: Machine, shown: paramiko.PKey) -> RemoteError:
    return RemoteError(
        machine=machine,
        tried="compared its host key with the known one",
        answer=(
            f"it shows {shown.get_name()} {shown.fingerprint}, which is another key: it is another"
            " machine, it was recreated, or the connection is intercepted. No data was sent"
        ),
        next_step="find out which; only if the machine was recreated, set its new host key",
    )


def _refused(machine: Machine, key: paramiko.PKey | None, exc: Exception) -> LoginRefusedError:
    if key is None:
        return LoginRefusedError(
            machine=machine,
            tried="logged in with the configured password",
            answer=f"refused ({exc})",
            next_step="fix it; or set a key, if sshd does not accept passwords",
        )
    return LoginRefusedError(
        machine=machine,
        tried=f"logged in with the key {key.fingerprint}",
        answer=f"refused ({exc})",
        next_step=f"put that key's public half into ~{machine.user}/.ssh/authorized_keys there",
    )


def _as_root(machine: Machine, command: str, *, needs_password: bool) -> str:
    """Wrap a command for POSIX shell, regardless of the user's own login shell.

    sudo clears the environment; SSH_CONNECTION has the address that the firewall must not lock out.
    sudo asks for the password every time, so that its line never becomes the command's own input.
    """
    quoted = shlex.quote(command)
    if machine.user == "root":
        return f"exec sh -c {quoted}"
    sudo = "sudo -k -S -p ''" if needs_password else "sudo -n"
    return f'exec {sudo} env SSH_CONNECTION="$SSH_CONNECTION" sh -c {quoted}'


def _converse(
    channel: paramiko.Channel, command: str, stdin: bytes | None, deadline: Deadline
) -> Completed | None:
    """Run the command on the channel; None if it ended without an exit status.

    Standard input and error have separate threads, since a command may fill one stream before it
    reads another.

    Raises:
        TimeoutError: if the deadline has passed.

    """
    errors: list[bytes] = []
    channel.settimeout(deadline.remaining())
    channel.exec_command(command)
    threads = [
        threading.Thread(target=_feed, args=(channel, stdin), daemon=True),
        threading.Thread(target=_drain_errors, args=(channel, errors), daemon=True),
    ]
    for thread in threads:
        thread.start()
    output: list[bytes] = []
    while chunk := _receive(channel, deadline):
        output.append(chunk)
    while not channel.status_event.wait(deadline.remaining()):
        pass
    for thread in threads:
        while thread.is_alive():
            thread.join(deadline.remaining())
    status = channel.recv_exit_status()
    if status < 0:
        return None
    return Completed(stdout=_text(output), stderr=_text(errors), exit_status=status)


def _receive(channel: paramiko.Channel, deadline: Deadline) -> bytes:
    """Return the next part of standard output; empty at the end."""
    while True:
        channel.settimeout(deadline.remaining())
        with contextlib.suppress(TimeoutError):  # then `remaining` raises it, or there is more time
            return channel.recv(_CHUNK_BYTES)


def _feed(channel: paramiko.Channel, stdin: bytes | None) -> None:
    """Send standard input, until the channel is closed: ``sendall`` stops at a time-out."""
    rest = memoryview(stdin or b"")
    try:
        while rest:
            with contextlib.suppress(TimeoutError):
                rest = rest[channel.send(bytes(rest[:_CHUNK_BYTES])) :]
        channel.shutdown_write()
    except (paramiko.SSHException, OSError):
        return  # The command did not read it all; its exit status shows whether that matters.


def _drain_errors(channel: paramiko.Channel, into: list[bytes]) -> None:
    """Read standard error until the channel is closed."""
    try:
        while chunk := _next_error(channel):
            into.append(chunk)
    except (paramiko.SSHException, OSError):
        return  # The channel is closed, which the other reader reports.


def _next_error(channel: paramiko.Channel) -> bytes:
    while True:
        with contextlib.suppress(TimeoutError):
            return channel.recv_stderr(_CHUNK_BYTES)


def _text(chunks: list[bytes]) -> str:
    return b"".join(chunks).decode(errors="replace")
