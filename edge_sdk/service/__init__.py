"""A device as a service of the machine: it stops when told, and says that it is well."""
