"""The network-only lab: real gateways and a real tailnet in namespaces, without Kubernetes, for failures by the dozen.

It shares the lab's routers, firewalls and control server, and runs the product's own network script. It lives in a
world of its own, so it may run beside a lab that is up.
"""
