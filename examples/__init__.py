"""Examples, executed by the tests."""
