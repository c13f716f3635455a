"""Tests of the training code, which a commit must pass: python -m unittest test_train."""

from __future__ import annotations

import unittest

from train import HERE, features_and_labels, fit


class TrainingTest(unittest.TestCase):
    """The training on the data of the repository."""

    def test_the_model_tells_the_cultivars_apart(self) -> None:
        """On rows that it was not trained on."""
        model = fit(*features_and_labels(HERE / "wine.csv"))
        rows, labels = features_and_labels(HERE / "holdout.csv")
        assert model.score(rows, labels) > 0.7

    def test_no_row_is_both_trained_and_judged_on(self) -> None:
        """A model that has seen the answers looks better than it is."""
        trained, _ = features_and_labels(HERE / "wine.csv")
        held, _ = features_and_labels(HERE / "holdout.csv")
        assert trained.merge(held).empty


if __name__ == "__main__":
    unittest.main()
