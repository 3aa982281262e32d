"""Ports of machines that both the machines' own software and the firewalls of their places must know."""

from __future__ import annotations

# Of gateways whose place asks for their health: the route agent answers GET /readyz there and nothing else.
HEALTH_PORT = 41644
HEALTH_PATH = "/readyz"
