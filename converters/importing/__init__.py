"""Models of other tools: MLflow, snapshots of Hugging Face."""
