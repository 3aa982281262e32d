"""A small cloud on one Linux machine: networks with routers and firewalls, machines, a control server.

It offers what a cloud offers and nothing more. Everything above it (SSH, bootstrap, kubeadm, gateways,
policies) is the same code as on real clouds, so that a test in the lab is a test of the product.
"""
