"""One ``docker.Image``: from its checked inputs to a build, a push and the outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from .context import BuildContext
from .inputs import registry_of
from .values import UNKNOWN, Properties, Secret, Value, has_unknown, is_secret_at, plain

if TYPE_CHECKING:
    import docker

    from .cancellation import Cancellation
    from .push import Login

SAVED_INPUTS = "__inputs"
"""Where the official plugin keeps the inputs in the state; the same place, so that a state can
pass from one plugin to the other."""

_SOURCES: Mapping[str, tuple[str, ...]] = {
    "imageName": ("imageName",),
    "baseImageName": ("imageName",),
    "repoDigest": ("imageName",),
    "context": ("build", "context"),
    "dockerfile": ("build", "dockerfile"),
    "platform": ("build", "platform"),
    "registryServer": ("registry", "server"),
}
"""The input that each output is derived from: the output is secret if that is."""


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image to build, from inputs that have passed the check."""

    inputs: Properties

    @property
    def name(self) -> str:
        """The image's full name, ``registry/repository:tag``."""
        return str(self._at("imageName"))

    @property
    def is_pushed(self) -> bool:
        """Whether the image goes to a registry after its build."""
        return self._at("skipPush") is not True

    @property
    def is_built_in_preview(self) -> bool:
        """Whether the program requests a build in previews, and all that it takes is known."""
        return self._at("buildOnPreview") is True and not has_unknown(self.inputs)

    def build(
        self, client: docker.APIClient, report: Callable[[str], None], cancellation: Cancellation
    ) -> str:
        """Build the image and return its id. See ``build.build`` for what it raises."""
        from .build import BuildRequest, build

        given = cast("Mapping[str, Any]", plain(self.inputs["build"]))
        request = BuildRequest(
            image_name=self.name,
            context=self._context(),
            args=given.get("args", {}),
            add_hosts=tuple(given.get("addHosts", ())),
            target=given.get("target"),
            platform=given.get("platform"),
            network=given.get("network"),
        )
        return build(client, request, report, cancellation)

    def push(
        self, client: docker.APIClient, report: Callable[[str], None], cancellation: Cancellation
    ) -> str:
        """Push the image and return ``repository@sha256:…``. See ``push.push``."""
        from .push import push

        return push(client, self.name, self.login(), report, cancellation)

    def login(self) -> Login | None:
        """Take the registry account of the inputs, or None: then Docker's configuration has it."""
        from .push import Login

        username, password = self._at("registry", "username"), self._at("registry", "password")
        if not isinstance(username, str) or not isinstance(password, str):
            return None
        if not username or not password:
            return None
        server = self._at("registry", "server") or registry_of(self.name)
        return Login(username=username, password=password, server=str(server))

    def half_login(self) -> str | None:
        """Name the one of username and password that was given without the other."""
        given = [key for key in ("username", "password") if self._at("registry", key)]
        return given[0] if len(given) == 1 else None

    def outputs(self, repo_digest: str) -> dict[str, Value]:
        """Compose the state of the built image."""
        outputs = self._outputs(repo_digest)
        outputs[SAVED_INPUTS] = Secret(plain(self.inputs))
        return outputs

    def preview_outputs(self) -> dict[str, Value]:
        """Compose the state as far as it is known before the build."""
        return self._outputs(UNKNOWN)

    def _outputs(self, repo_digest: Value) -> dict[str, Value]:
        name = self._at("imageName")
        values: dict[str, Value] = {
            "imageName": name,
            "baseImageName": name,
            "repoDigest": repo_digest,
            "context": self._at("build", "context"),
            "dockerfile": self._relative_dockerfile(),
            "platform": self._at("build", "platform"),
            "registryServer": self._at("registry", "server") or "",
        }
        return {
            key: Secret(value) if is_secret_at(self.inputs, *_SOURCES[key]) else value
            for key, value in values.items()
        }

    def _relative_dockerfile(self) -> Value:
        if has_unknown([self._at("build", "context"), self._at("build", "dockerfile")]):
            return UNKNOWN
        return self._context().relative_dockerfile

    def _context(self) -> BuildContext:
        return BuildContext(
            root=Path(str(self._at("build", "context"))),
            dockerfile=Path(str(self._at("build", "dockerfile"))),
        )

    def _at(self, *path: str) -> Value:
        value = plain(dict(self.inputs))
        for key in path:
            if value is UNKNOWN:
                return UNKNOWN
            value = value.get(key) if isinstance(value, Mapping) else None
        return value
