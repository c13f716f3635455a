"""The worker processes of a hub: started, watched, started again, ended together."""
