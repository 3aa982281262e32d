machine_role() {
  has_certificate || bootstrap_kubeconfig
  # With its state on disk the connector needs no key any more; writing one again would only leave a secret behind.
  [ -s /var/lib/tailspan/tailscale/tailscaled.state ] || connector_key
  kubelet_service
  wait_for_connector
}
