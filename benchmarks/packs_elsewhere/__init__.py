"""A hit in a pack of a million entries from C, JavaScript and Python, in turns of one run."""
