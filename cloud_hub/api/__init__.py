"""Parts that all routes share, authentication and limits among them; audit and health."""
