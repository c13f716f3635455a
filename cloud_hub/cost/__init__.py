"""What models cost: core-seconds, bytes and cloud calls, by day; and what packs save."""
