"""What is written onto a machine to make it a node or a gateway: scripts, units, manifests, kubelet configuration."""
