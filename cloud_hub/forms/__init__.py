"""Files in the forms in which they are small on the wire."""
