"""Stand-ins for the official Pulumi resource plugins: real effects in the lab, refused everywhere else."""
