"""The site that ``make site`` builds: pages that are made from the code, and files from elsewhere."""
