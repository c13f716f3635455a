"""What the hub learns of devices' sums over units: if personalising helps, and the next prior."""
