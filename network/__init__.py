"""The network plan: pure functions from a stack's configuration to addresses, routes and policy."""
