"""What the campaigns are built from: hubs, devices, networks, disks and tracing."""
