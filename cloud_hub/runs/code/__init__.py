"""Versions of training code: what a policy's ``train`` names is kept, and can be gone back to."""
