import hashlib
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tools import versions
from tools.host import Host
from tools.official import Official, UnreachableError
from tools.paths import Paths
from tools.pulumi_cli import CLI, DYNAMIC_PROVIDER, LANGUAGE_EXECUTOR, PROGRAMS, PulumiCli

MakeProgram = Callable[..., Path]
pytestmark = pytest.mark.usefixtures("programs")


class Closed:
    """A network in which no official source can be reached."""

    def require(self, host: str) -> None:
        message = f"{host}: no answer"
        raise UnreachableError(message)


ARCHIVE = f"pulumi-v{versions.PULUMI}-linux-x64.tar.gz"
RELEASES = "https://get.pulumi.com/releases/sdk"


def official_archive() -> bytes:
    """Return what the official archive looks like."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name in PROGRAMS:
            entry = tarfile.TarInfo(f"pulumi/{name}")
            entry.size, entry.mode = 8, 0o755
            archive.addfile(entry, io.BytesIO(b"official"))
    return content.getvalue()


def open_network(paths: Paths, archive: bytes, digest: str) -> Official:
    """Return a network in which the official archive can be had."""
    files = {
        f"{RELEASES}/{ARCHIVE}": archive,
        f"{RELEASES}/pulumi-{versions.PULUMI}-checksums.txt": (
            f"{'0' * 64}  other.tar.gz\n{digest}  {ARCHIVE}\n".encode()
        ),
    }

    def open_url(request: object, **_: object) -> io.BytesIO:
        return io.BytesIO(files[request] if isinstance(request, str) else b"")

    return Official(cache=paths.cache, open_url=open_url)


class FakeGo:
    """Builds text files; it is its own finder."""

    program = Path("/usr/local/go/bin/go")

    def __init__(self, sources: Path) -> None:
        self.sources, self.built = sources, list[str]()

    def find(self) -> "FakeGo":
        return self

    def build(self, *, output: Path, package: str, variables: dict[str, str], **_: object) -> None:
        assert list(variables.values()) == [f"v{versions.PULUMI}"]
        self.built.append(package)
        output.write_text("built")

    def module_folder(self, module: Path, path: str) -> Path:
        assert module.name == "pulumi"
        assert path == "github.com/pulumi/pulumi/sdk/v3"
        return self.sources


@pytest.fixture
def go(tmp_path: Path) -> FakeGo:
    sources = tmp_path / "sdk"
    for script in (f"cmd/{LANGUAGE_EXECUTOR}", f"dist/{DYNAMIC_PROVIDER}"):
        file = sources / "python" / script
        file.parent.mkdir(parents=True)
        file.write_text("script")
        file.chmod(0o444)
    return FakeGo(sources)


@pytest.fixture
def cli(paths: Paths, host: Host, go: FakeGo, printed: list[str]) -> Callable[[object], PulumiCli]:
    for name in ("pulumi", "language_host"):
        module = paths.repository / "tools" / "go_modules" / name
        module.mkdir(parents=True)
        for file in ("go.mod", "go.sum", "tools.go"):
            (module / file).write_text(f"{name} {file}")

    def make(official: object) -> PulumiCli:
        return PulumiCli(paths=paths, host=host, official=official, go=go, say=printed.append)  # type: ignore[arg-type]

    return make


def test_a_closed_network_builds_it_and_prints_the_reason(
    cli: Callable[[object], PulumiCli], go: FakeGo, paths: Paths, printed: list[str]
) -> None:
    step = cli(Closed())
    assert step.check() is None
    step.install()
    assert step.check() is not None
    assert len(go.built) == 2
    assert "get.pulumi.com: no answer" in printed[0]
    assert "built from its Go modules" in printed[0]
    for name in PROGRAMS:
        assert (paths.programs / name).resolve().is_relative_to(paths.cache)
    assert (paths.programs / DYNAMIC_PROVIDER).stat().st_mode & 0o111


def test_a_second_clone_links_what_the_cache_has(
    cli: Callable[[object], PulumiCli], go: FakeGo, paths: Paths, printed: list[str]
) -> None:
    cli(Closed()).install()
    for name in PROGRAMS:
        (paths.programs / name).unlink()
    assert cli(Closed()).check() is None
    cli(Closed()).install()
    assert len(go.built) == 2
    assert len(printed) == 1


def test_changed_pins_are_built_again(
    cli: Callable[[object], PulumiCli], go: FakeGo, paths: Paths
) -> None:
    cli(Closed()).install()
    for name in PROGRAMS:
        (paths.programs / name).unlink()
    (paths.repository / "tools/go_modules/pulumi/go.sum").write_text("other")
    cli(Closed()).install()
    assert len(go.built) == 4


def test_an_open_network_downloads_it(
    cli: Callable[[object], PulumiCli], go: FakeGo, paths: Paths
) -> None:
    archive = official_archive()
    cli(open_network(paths, archive, hashlib.sha256(archive).hexdigest())).install()
    assert (paths.programs / CLI).read_text() == "official"
    assert go.built == []


def test_an_archive_with_another_digest_than_the_published_one_is_not_used(
    cli: Callable[[object], PulumiCli], go: FakeGo, paths: Paths, printed: list[str]
) -> None:
    cli(open_network(paths, official_archive(), "1" * 64)).install()
    assert (paths.programs / CLI).read_text() == "built"
    assert len(go.built) == 2
    assert "is published" in printed[-1]


def test_a_build_that_breaks_leaves_nothing_in_the_cache(
    cli: Callable[[object], PulumiCli], go: FakeGo, paths: Paths
) -> None:
    go.sources = Path("/no/such/folder")
    with pytest.raises(FileNotFoundError):
        cli(Closed()).install()
    assert list(paths.cache.iterdir()) == []


@pytest.mark.parametrize(
    ("version", "usable"),
    [
        (f"v{versions.PULUMI}", True),
        ("v3.999.0", True),
        ("v3.200.0", False),
        ("v4.0.0", False),
        ("nonsense", False),
    ],
)
def test_the_users_own_is_used_in_the_right_version(
    cli: Callable[[object], PulumiCli], programs: MakeProgram, version: str, *, usable: bool
) -> None:
    for name in PROGRAMS:
        programs(name, f"echo {version}")
    assert (cli(Closed()).check() is not None) is usable


def test_the_users_own_without_a_python_host_is_not_used(
    cli: Callable[[object], PulumiCli], programs: MakeProgram
) -> None:
    programs(CLI, f"echo v{versions.PULUMI}")
    assert cli(Closed()).check() is None
