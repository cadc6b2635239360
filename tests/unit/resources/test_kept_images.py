"""The images that stay, as the resource keeps them in the state."""

from infra.resources.kept_images import KeptImagesProvider

OLD, NEW = ["a@sha256:1"], ["a@sha256:2"]
NO_NODES = {"machines": [], "owned": [], "private_key": "", "connections_per_second": 20}


def test_a_registry_that_is_another_s_is_left_alone() -> None:
    """Pulumi leaves out an input that has no value."""
    props = {**NO_NODES, "references": OLD, "keep": 2}
    made = KeptImagesProvider().create(props)
    assert made.outs
    assert made.outs["releases"] == [OLD]
    changed = KeptImagesProvider().update("id", made.outs, {**props, "references": NEW})
    assert changed.outs
    assert changed.outs["releases"] == [NEW, OLD]
