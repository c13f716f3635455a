"""What an auditor is given of one version: an archive that proves itself."""
