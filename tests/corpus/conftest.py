"""Loads what the component tests load first, for its warning of a resource that nobody uses here."""

import tests.components.conftest  # noqa: F401
