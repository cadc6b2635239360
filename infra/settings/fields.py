"""The fields of a model of settings, by the keys that the user writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel
    from pydantic.fields import FieldInfo


def fields(model: type[BaseModel]) -> Mapping[str, FieldInfo]:
    """Return a model's fields by their keys, as ``Pulumi.yaml`` spells them."""
    return {field.alias or name: field for name, field in model.model_fields.items()}
