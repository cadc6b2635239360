"""How the operator signs in on a machine; everything here is secret."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class Login:
    """Keys are in OpenSSH's PEM. ``password`` is for SSH without a key, and for sudo.

    The ``jump`` half is for the host that the way leads through, where there is one. The files are
    where the operator has the keys, for SSH commands that are typed.
    """

    private_key: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    key_file: str = ""
    jump_private_key: str = field(default="", repr=False)
    jump_password: str = field(default="", repr=False)
    jump_key_file: str = ""

    @property
    def of_jump(self) -> Login:
        """The sign-in on the host that the way leads through."""
        return Login(
            private_key=self.jump_private_key,
            password=self.jump_password,
            key_file=self.jump_key_file,
        )

    def to_dict(self) -> dict[str, str]:
        """Return plain JSON types, as a resource's state keeps them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Login:
        """Read what `to_dict` wrote."""
        return cls(**data)
