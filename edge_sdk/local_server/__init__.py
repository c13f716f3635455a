"""The local server: other processes on this machine ask the device, over HTTP or a Unix socket."""
