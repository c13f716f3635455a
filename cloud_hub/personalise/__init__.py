"""What units without history begin with: priors, fitted to rows of many units."""
