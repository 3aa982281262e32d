"""Proves a running cluster from outside: with a kubeconfig and the stack's outputs, nothing else."""
