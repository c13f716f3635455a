"""The whole product on a fleet of five: ``python -m examples.digits.demo``."""
