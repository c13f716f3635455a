"""Sources of batch jobs: databases, files, the feature store; all become parts in Parquet."""
