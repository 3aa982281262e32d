machine_role() {
  # The marker is written after a whole init: without it the last run was interrupted, and nothing here is worth
  # keeping; with it a reset would destroy a cluster, so it is never done.
  if [ -f /etc/tailspan/initialised ]; then
    kubelet_service
  else
    step "kubeadm init"
    systemctl daemon-reload
    systemctl enable -q kubelet
    if [ -d /etc/kubernetes/pki ]; then
      say "an interrupted init left its traces: starting over"
      kubeadm reset -f >/var/log/tailspan-kubeadm.log 2>&1 || true
    fi
    kubeadm init --config /etc/tailspan/kubeadm.yaml >/var/log/tailspan-kubeadm.log 2>&1 ||
      fail "$(tail -n 15 /var/log/tailspan-kubeadm.log | tr '\n' ' ')"
    touch /etc/tailspan/initialised
  fi
  # After the init: the traces that an interrupted one leaves are removed with everything among the manifests.
  connector
  wait_for_connector
  step "API server"
  local i
  for i in $(seq 240); do
    kubectl --kubeconfig /etc/kubernetes/admin.conf get --raw /readyz >/dev/null 2>&1 && break
    [ "$i" = 240 ] && fail "the API server is not ready after 120 s"
    sleep 0.5
  done
  # The only thing on standard output: the cluster's CA and the operator's credential.
  printf '{"ca": "%s", "kubeconfig": "%s"}\n' "$(base64 -w0 </etc/kubernetes/pki/ca.crt)" "$(base64 -w0 </etc/kubernetes/admin.conf)"
}
