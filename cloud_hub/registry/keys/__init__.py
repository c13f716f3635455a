"""Keys over the years: what expires when, and how any of them is renewed, replaced, recovered."""
