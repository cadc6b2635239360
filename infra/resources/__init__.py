"""Thin Pulumi dynamic providers over ``remote``, ``swarm`` and ``stack``.

The providers are pickled by reference, so a module's path and a class' name in this package are
part of every stack's state: ``tests/unit/resources/test_tokens.py`` pins them.
"""
