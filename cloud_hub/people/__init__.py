"""People and service accounts, their access tokens, and their sessions in a browser."""
