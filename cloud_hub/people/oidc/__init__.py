"""Signing in by OpenID Connect: the provider says who somebody is, and which groups they are in."""
