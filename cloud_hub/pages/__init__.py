"""The web page: what people look at, and do, without a command line."""
