"""Every vector of the folder that ``--vectors`` names; the conftest makes the tests."""

VECTORS = object()
