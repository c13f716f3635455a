"""Packages in an environment of their own: river as a peer, seglearn and obp for their data."""
