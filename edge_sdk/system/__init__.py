"""Files, locks and threads: what differs between operating systems."""
