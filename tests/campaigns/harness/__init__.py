"""Parts of which the campaigns are built: hubs, devices, networks, disks and tracing."""
