from pathlib import Path

import pytest

from tools.certificates import find_bundle, parse, private_certificates, trusting
from tools.errors import SetupError


def pem(body: str, width: int = 64) -> str:
    lines = [body[start : start + width] for start in range(0, len(body), width)]
    return "\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""])


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    file = tmp_path / "bundle.pem"
    file.write_text(pem("QUJD" * 40))
    return file


def test_nothing_configured_makes_no_bundle() -> None:
    assert find_bundle({}, ()) is None


def test_ca_bundle_wins_over_everything(bundle: Path, tmp_path: Path) -> None:
    environment = {"CA_BUNDLE": str(bundle), "PIP_CERT": "/none", "SSL_CERT_FILE": "/none"}
    assert find_bundle(environment, (tmp_path / "pip.conf",)) == (bundle, "CA_BUNDLE")


def test_pips_own_setting_wins_over_the_general_one(bundle: Path, tmp_path: Path) -> None:
    configuration = tmp_path / "pip.conf"
    configuration.write_text(f"[global]\ncert = {bundle}\n")
    found = find_bundle({"SSL_CERT_FILE": "/none"}, (configuration,))
    assert found == (bundle, f"pip's setting `cert` in {configuration}")


def test_the_general_setting_is_the_last(bundle: Path, tmp_path: Path) -> None:
    found = find_bundle({"SSL_CERT_FILE": str(bundle)}, (tmp_path / "missing.conf",))
    assert found == (bundle, "SSL_CERT_FILE")


def test_a_setting_that_names_no_file_is_an_error_that_names_the_setting() -> None:
    with pytest.raises(SetupError, match="CA_BUNDLE names the CA bundle /no/such/file"):
        find_bundle({"CA_BUNDLE": "/no/such/file"}, ())


def test_only_what_the_system_lacks_is_private(tmp_path: Path) -> None:
    public = tmp_path / "public"
    public.mkdir()
    (public / "one.crt").write_text(pem("QUJD" * 40))
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(pem("QUJD" * 40, width=76) + "# a comment\n" + pem("REVG" * 40))
    assert private_certificates(bundle, public) == [pem("REVG" * 40)]


def test_a_certificate_twice_in_a_bundle_counts_once() -> None:
    assert parse(pem("QUJD" * 40) + pem("QUJD" * 40)) == [pem("QUJD" * 40)]


def test_one_setting_reaches_every_program_and_overrides_none() -> None:
    environment = {"SSL_CERT_FILE": "/users/own.pem"}
    assert trusting(Path("/proxy.pem"), environment) == {"PIP_CERT": "/proxy.pem"}
