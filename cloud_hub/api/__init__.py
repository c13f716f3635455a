"""What the routes share: authentication, limits of bodies, names in paths; audit and health."""
