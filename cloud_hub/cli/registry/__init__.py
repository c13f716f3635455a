"""Commands on versions: their names, what they cost, what is exported of them."""
