"""The revisions from before two releases used one database side by side."""
