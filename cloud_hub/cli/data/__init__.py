"""Commands for what a model learns from and answers ahead: datasets, features, batches."""
