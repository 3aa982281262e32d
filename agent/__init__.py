"""The route agent of nodes and gateways. It imports nothing of the program: on the machines there is nothing else."""
