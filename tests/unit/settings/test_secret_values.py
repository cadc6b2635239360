"""What of a setting that holds a secret may be shown."""

from pathlib import Path

import pytest

from infra.settings.secret_values import secret_texts

HOSTS = [{"name": "first", "port": 22, "password": "hidden"}, {"name": "second"}]
FILE = """
config:
  dairflow:hosts:
    - name: first
      port: 22
      password:
        secure: v1:abc
    - name: second
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "Pulumi.test.yaml"
    file.write_text(text)
    return file


def test_what_is_in_plain_text_is_not_a_secret(tmp_path: Path) -> None:
    assert secret_texts({"dairflow:hosts": HOSTS}, written(tmp_path, FILE)) == {"hidden"}


def test_a_setting_that_is_a_secret_as_a_whole_is_one_in_all_its_parts(tmp_path: Path) -> None:
    file = written(tmp_path, "config:\n  dairflow:hosts:\n    secure: v1:abc\n")
    assert secret_texts({"dairflow:hosts": HOSTS}, file) == {"first", "22", "hidden", "second"}


@pytest.mark.parametrize("text", ["", "config:", "- a", "config: [", "config: 7"])
def test_without_a_file_that_can_be_read_everything_is_a_secret(tmp_path: Path, text: str) -> None:
    assert secret_texts({"dairflow:workers": "9"}, written(tmp_path, text)) == {"9"}
    assert secret_texts({"dairflow:workers": "9"}, tmp_path / "none") == {"9"}
