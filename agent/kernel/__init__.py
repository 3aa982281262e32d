"""What the agent changes in the kernel, through netlink: routes, nexthops, rules and addresses, all of them its own."""
