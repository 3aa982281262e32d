# A hybrid node of EKS, or a gateway of its VPC. What nodeadm needs, AWS's API and through the tunnel the private
# endpoint, is there before it runs: the kubelet alone has started the connector and the route agent.
HYBRID=/etc/tailspan/hybrid
NODEADM=/usr/local/bin/nodeadm

machine_role() {
  hybrid_identity
  connector
  agent_manifest
  if [ -e $HYBRID ] && ! changed /etc/tailspan/nodeadm.yaml /etc/iam/pki/server.pem /etc/iam/pki/server.key; then
    step "kubelet"
    systemctl disable -q --now tailspan-kubelet 2>/dev/null || true
    systemctl is-active -q kubelet || systemctl restart kubelet || fail "$(journalctl -u kubelet -n 5 -o cat --no-pager | tr '\n' ' ')"
  else
    # Set again when nodeadm has done its work: what failed is tried again by the next run.
    rm -f $HYBRID
    kubelet_alone
    wait_for_connector
    [ ! -s /etc/tailspan/nodeadm.yaml ] || hybrid_node
  fi
  wait_for_connector
  wait_for_forwarding
}

kubelet_alone() {
  step "kubelet without an API server"
  if changed /etc/systemd/system/tailspan-kubelet.service /etc/tailspan/kubelet.yaml || ! systemctl is-active -q tailspan-kubelet; then
    systemctl daemon-reload
    systemctl enable -q tailspan-kubelet
    systemctl restart tailspan-kubelet || fail "$(journalctl -u tailspan-kubelet -n 5 -o cat --no-pager | tr '\n' ' ')"
  fi
}

nodeadm_binary() {
  [ -x $NODEADM ] && return 0
  local arch
  arch=$([ "$(uname -m)" = aarch64 ] && echo arm64 || echo amd64)
  say "downloading nodeadm"
  curl -fsSL --retry 5 -o $NODEADM.new "https://hybrid-assets.eks.amazonaws.com/releases/latest/bin/linux/$arch/nodeadm" ||
    fail "cannot download nodeadm from hybrid-assets.eks.amazonaws.com"
  chmod 755 $NODEADM.new; mv -f $NODEADM.new $NODEADM
}

hybrid_node() {
  nodeadm_binary
  step "nodeadm install"
  # containerd is there; nodeadm's own would come from another package source. What it installs it checks by its manifest.
  nodeadm install "${KUBERNETES_VERSION%.*}" --credential-provider iam-ra --containerd-source none >/var/log/tailspan-nodeadm.log 2>&1 ||
    fail "$(tail -n 8 /var/log/tailspan-nodeadm.log | tr '\n' ' ')"
  step "nodeadm init"
  # The static pods live on: the other kubelet takes them over by the same names from the same directory.
  systemctl disable -q --now tailspan-kubelet
  # Its check asks for open VXLAN ports, and no overlay is used here.
  if ! nodeadm init --config-source file:///etc/tailspan/nodeadm.yaml --skip cni-validation >>/var/log/tailspan-nodeadm.log 2>&1; then
    # Or the way to the API server would be gone with the kubelet.
    systemctl enable -q --now tailspan-kubelet || true
    fail "$(tail -n 8 /var/log/tailspan-nodeadm.log | tr '\n' ' ')"
  fi
  touch $HYBRID
}

# leave() of node.sh, and then what is Amazon's.
eval "leave_node() $(declare -f leave | tail -n +2)"
leave() {
  systemctl disable -q --now tailspan-kubelet 2>/dev/null || true
  [ ! -x $NODEADM ] || nodeadm uninstall --skip node-validation,pod-validation >/dev/null 2>&1 || true
  leave_node
  rm -rf /etc/iam/pki $NODEADM /etc/systemd/system/tailspan-kubelet.service /var/log/tailspan-nodeadm.log
  systemctl daemon-reload
}
