"""Error rates and power of what decides, by simulation: ``make statistics``."""
