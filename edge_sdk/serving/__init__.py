"""Answering one input: the pack, else the model, else the cloud."""
