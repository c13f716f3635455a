"""A device as a member of a fleet: enrolment, its connection, what serves, what rolls out."""
