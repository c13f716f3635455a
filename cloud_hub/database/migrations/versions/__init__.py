"""The revisions, oldest first, in files named by their number."""
