"""What a device learns of a unit (a user, a session), and serves to it alone."""
