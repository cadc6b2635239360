import io
import urllib.error
from email.message import Message
from pathlib import Path

import pytest

from tools.official import REMEMBERED_SECONDS, Official, UnreachableError

HOST = "downloads.example"


class Network:
    """Returns the given answers, and counts its calls."""

    def __init__(self, *answers: bytes | OSError) -> None:
        self.answers, self.asked = list(answers), 0

    def __call__(self, *_: object, **__: object) -> io.BytesIO:
        self.asked += 1
        answer = self.answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return io.BytesIO(answer)


def refused() -> OSError:
    return urllib.error.URLError("Name or service not known")


def test_a_host_that_cannot_be_reached_is_asked_once_a_day(tmp_path: Path) -> None:
    network, clock = Network(refused(), refused()), [1000.0]
    official = Official(cache=tmp_path, open_url=network, now=lambda: clock[0], started=clock[0])
    with pytest.raises(UnreachableError, match="Name or service not known"):
        official.require(HOST)
    with pytest.raises(UnreachableError, match="DAIRFLOW_RETRY_OFFICIAL=1"):
        official.require(HOST)
    assert network.asked == 1
    clock[0] += REMEMBERED_SECONDS + 1
    with pytest.raises(UnreachableError):
        official.require(HOST)
    assert network.asked == 2


def test_the_user_can_have_it_asked_again(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError):
        Official(cache=tmp_path, open_url=Network(refused())).require(HOST)
    network = Network(b"")
    Official(cache=tmp_path, open_url=network, retry=True).require(HOST)
    assert network.asked == 1


def test_what_the_user_has_tried_again_is_tried_once_in_a_run(tmp_path: Path) -> None:
    network = Network(refused())
    official = Official(cache=tmp_path, open_url=network, retry=True)
    for _ in range(2):
        with pytest.raises(UnreachableError):
            official.require(HOST)
    assert network.asked == 1


def test_any_answer_is_an_answer(tmp_path: Path) -> None:
    forbidden = urllib.error.HTTPError(f"https://{HOST}/", 403, "Forbidden", Message(), None)
    Official(cache=tmp_path, open_url=Network(forbidden)).require(HOST)


def test_a_download_that_fails_leaves_no_file(tmp_path: Path) -> None:
    network = Network(b"", refused())
    file = tmp_path / "program"
    with pytest.raises(UnreachableError, match="program: Name or service not known"):
        Official(cache=tmp_path, open_url=network).fetch(f"https://{HOST}/program", file)
    assert not file.exists()


def test_a_download_is_written(tmp_path: Path) -> None:
    file = tmp_path / "program"
    official = Official(cache=tmp_path, open_url=Network(b"", b"content"))
    official.fetch(f"https://{HOST}/program", file)
    assert file.read_bytes() == b"content"


def test_a_damaged_record_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "unreachable.json").write_text("[not json")
    Official(cache=tmp_path, open_url=Network(b"")).require(HOST)
