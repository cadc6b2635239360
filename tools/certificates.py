"""The certificates that a closed network's proxy needs: found on the host, for the base image."""

from __future__ import annotations

import configparser
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from tools.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

VARIABLES = ("CA_BUNDLE", "PIP_CERT")
LATE_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
PUBLIC_CERTIFICATES = Path("/usr/share/ca-certificates")

_CERTIFICATE = re.compile(
    r"-----BEGIN CERTIFICATE-----\s+([A-Za-z0-9+/=\s]+?)-----END CERTIFICATE-----"
)


def pip_configuration_files(environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Return pip's configuration files, the strongest first (pip's manual, "Configuration")."""
    home = Path(environment.get("HOME") or Path.home())
    configuration = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    named = environment.get("PIP_CONFIG_FILE")
    return (
        *((Path(named),) if named else ()),
        configuration / "pip" / "pip.conf",
        home / ".pip" / "pip.conf",
        Path("/etc/pip.conf"),
    )


def find_bundle(
    environment: Mapping[str, str] = os.environ, pip_files: Iterable[Path] | None = None
) -> tuple[Path, str] | None:
    """Return the CA bundle that this machine is configured to use, and the setting that names it.

    Looks at CA_BUNDLE, pip's own `cert` setting, then SSL_CERT_FILE and REQUESTS_CA_BUNDLE.
    Raises SetupError when the setting names a file that cannot be read.
    """
    files = pip_configuration_files(environment) if pip_files is None else pip_files
    found = (
        _from_variables(environment, VARIABLES)
        or _from_pip(files)
        or _from_variables(environment, LATE_VARIABLES)
    )
    if found is None:
        return None
    bundle, setting = found
    if not os.access(bundle, os.R_OK) or not bundle.is_file():
        message = (
            f"{setting} names the CA bundle {bundle}, which is not a readable file. "
            f"Correct {setting}, or unset it."
        )
        raise SetupError(message)
    return found


def trusting(bundle: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables by which pip, uv, Go and Pulumi trust a bundle too.

    Those that the user has set stay as they are.
    """
    names = ("PIP_CERT", "SSL_CERT_FILE")
    return {name: str(bundle) for name in names if not environment.get(name)}


def parse(pem: str) -> list[str]:
    """Return a bundle's certificates, each in one normal form, without duplicates."""
    bodies = ("".join(match.split()) for match in _CERTIFICATE.findall(pem))
    return [_armour(body) for body in dict.fromkeys(bodies)]


def private_certificates(bundle: Path, public: Path = PUBLIC_CERTIFICATES) -> list[str]:
    """Return the bundle's certificates that the operating system's own public set lacks.

    Only these travel into images: the public ones are there already, in the image's own version.
    """
    known = {
        certificate
        for file in public.rglob("*.crt")
        for certificate in parse(file.read_text(errors="replace"))
    }
    found = parse(bundle.read_text(errors="replace"))
    return [certificate for certificate in found if certificate not in known]


def _from_variables(
    environment: Mapping[str, str], names: Iterable[str]
) -> tuple[Path, str] | None:
    for name in names:
        if value := environment.get(name):
            return Path(value), name
    return None


def _from_pip(files: Iterable[Path]) -> tuple[Path, str] | None:
    for file in files:
        parser = configparser.RawConfigParser()
        try:
            parser.read(file)
        except (OSError, configparser.Error):
            continue
        for section in ("install", "global"):
            if value := parser.get(section, "cert", fallback=None):
                return Path(value), f"pip's setting `cert` in {file}"
    return None


def _armour(body: str) -> str:
    lines = (body[start : start + 64] for start in range(0, len(body), 64))
    return "\n".join(("-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""))
