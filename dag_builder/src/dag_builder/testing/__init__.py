"""The integrity test: every DAG of a folder loads, is sound, and stays the same.

In your own tests:

    from dag_builder.testing import assert_dags_are_sound

    def test_dags_are_sound():
        assert_dags_are_sound("dags")
"""

from dag_builder.testing.integrity import assert_dags_are_sound, unsound

__all__ = ["assert_dags_are_sound", "unsound"]
