"""The test suite; `tests/unit` mirrors the source tree."""
