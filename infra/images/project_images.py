"""Names of the images that set-up has built for this clone.

`tools/image_names.py` writes them.

A name ends with a digest of the image's inputs, so clones with other contents have other names, and
a name means the same image in any image store. An image's ID does not (Docker's own store uses the
digest of its configuration, containerd's that of its manifest).
"""

from __future__ import annotations

import json

from infra.project import ROOT

RECORD = ROOT / ".dairflow" / "image-names.json"


def reference(image: str) -> str:
    """Return the name of this clone's ``image``, such as ``node``, in the operator's engine.

    Before set-up it is a name that no engine has, so that the error refers to set-up.
    """
    return _recorded().get(image, f"dairflow/{image}:not-set-up")


def base() -> str | None:
    """Return the name of the base image; None before set-up."""
    return _recorded().get("base")


def _recorded() -> dict[str, str]:
    try:
        return json.loads(RECORD.read_text())
    except (OSError, ValueError):
        return {}
