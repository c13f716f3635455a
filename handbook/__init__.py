"""What ``make site`` adds to ``docs/``: pages made from the code, and files from elsewhere."""
