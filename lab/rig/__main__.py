"""`python -m lab.rig`: the network-only lab's command line."""

from lab.rig.cli import main

main()
