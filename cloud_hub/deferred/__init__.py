"""Heavy libraries, loaded where they are first used and not when the hub starts."""
