"""Releases as other tools keep them: artifacts of OCI registries, and signatures of OpenSSF."""
