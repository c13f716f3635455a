"""One device, several processes: an owner runs it, others attach to it on a local socket."""
