"""What devices report: taken in exactly once, merged by addition, asked by everybody else."""
