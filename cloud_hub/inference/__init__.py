"""Cloud inference: the larger model that devices ask when their own is unsure."""
