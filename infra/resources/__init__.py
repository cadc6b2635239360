"""Thin Pulumi dynamic providers over ``remote``, ``swarm`` and ``stack``.

The providers are pickled by reference, so the path of a module and the name of a class in this
package are part of every stack's state: ``tests/unit/resources/test_tokens.py`` pins them.
"""
