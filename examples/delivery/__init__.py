"""A delivery time from three kinds of data: stored, of the moment, and precomputed."""
