"""Side effects behind Pulumi resources: join a machine, drain it, delete its tailnet device."""
