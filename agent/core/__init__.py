"""What the agent decides, without sockets, clocks or the kernel: every input carries its time in seconds."""
