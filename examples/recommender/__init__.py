"""A small recommender, and two versions of it interleaved on a device."""
