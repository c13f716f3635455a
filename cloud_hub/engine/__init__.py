"""Where heavy work is computed: on this machine, or on the nodes of a Ray cluster.

Invariants:

* The same functions compute either way, over the same items, and results come in the order of the
  items: what is made of them is the same to the byte.
* The hub's process never loads Ray, which ends a process that has lost its cluster. Each piece of
  work has a driver process of its own, and ends with it.
* Tasks take bytes and give bytes. No folder is shared with the nodes, and nothing that is sent
  there holds a key of the hub.
* Code of users runs on a node as it does here: in an isolated process with its limits.
"""
