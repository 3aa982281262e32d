"""Sellers of machines that have an HTTP API and no Pulumi package: one module each, all behind ops.rented.Seller."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ops.errors import OpsError
from ops.http import Json
from ops.rented import Seller
from ops.sellers.hyperstack import hyperstack
from ops.wait import Deadline

# By the name that a request carries; a name, once given, stays: stored deletes ask for it.
SELLERS: Mapping[str, Callable[[Json, Deadline], Seller]] = {"hyperstack": hyperstack}


def seller_of(name: str, request: Json, deadline: Deadline) -> Seller:
    """The seller that a request names, with the key and the place that it carries."""
    if name not in SELLERS:
        raise OpsError(f"stdin: seller: got {name!r}; write one of {', '.join(sorted(SELLERS))}")
    return SELLERS[name](request, deadline)
