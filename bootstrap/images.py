"""Container images by their public names; `images.mirror` of the stack takes the place of the registry's host."""

from __future__ import annotations

from dataclasses import dataclass

# The pause, etcd and CoreDNS versions are the ones that kubeadm v1.33 expects (kubernetes: cmd/kubeadm/app/constants).
PAUSE = "registry.k8s.io/pause:3.10"
COREDNS = "registry.k8s.io/coredns/coredns:v1.12.0"
PYTHON = "docker.io/library/python:3.11-slim-bookworm"
TAILSCALE = "ghcr.io/tailscale/tailscale"
DEVICE_PLUGIN = "nvcr.io/nvidia/k8s-device-plugin:v0.18.0"


@dataclass(frozen=True, kw_only=True)
class Images:
    """The images of one stack."""

    tailscale_version: str
    mirror: str | None = None

    def _at(self, name: str) -> str:
        return f"{self.mirror.rstrip('/')}/{name.split('/', 1)[1]}" if self.mirror else name

    @property
    def pause(self) -> str:
        return self._at(PAUSE)

    @property
    def coredns(self) -> str:
        return self._at(COREDNS)

    @property
    def tailscale(self) -> str:
        return self._at(f"{TAILSCALE}:v{self.tailscale_version}")

    @property
    def python(self) -> str:
        """What the route agent runs in: nothing of it is needed but the interpreter and its standard library."""
        return self._at(PYTHON)

    def kube_proxy(self, version: str) -> str:
        """Where kubeadm does not bring it along."""
        return self._at(f"registry.k8s.io/kube-proxy:v{version}")

    @property
    def device_plugin(self) -> str:
        return self._at(DEVICE_PLUGIN)

    @property
    def kubernetes_repository(self) -> str:
        """What kubeadm calls imageRepository."""
        return self.mirror.rstrip("/") if self.mirror else "registry.k8s.io"
