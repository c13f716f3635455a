"""What devices and hub tell each other of personalisation: priors down, sums over units up."""
