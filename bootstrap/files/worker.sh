machine_role() {
  # Another CA is another cluster (a rebuilt one, say): what was issued by the old one is worth nothing.
  if changed /etc/kubernetes/pki/ca.crt && has_certificate; then
    systemctl stop kubelet 2>/dev/null || true
    rm -f /etc/kubernetes/kubelet.conf /var/lib/kubelet/pki/kubelet-client-*
  fi
  has_certificate || bootstrap_kubeconfig
  connector
  agent_manifest
  kubelet_service
  restart_when_admitted
  wait_for_connector
  wait_for_forwarding
}
