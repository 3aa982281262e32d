# The steps that make a machine a node. Sent over SSH as one script with the machine's files and values in front of it;
# `join` may run again at any time and only restarts what changed; `leave` wipes what it wrote.

say() { printf 'tailspan[%s] %s\n' "$NODE_NAME" "$*" >&2; }
fail() { say "FAILED at $STEP: $*"; exit 1; }
step() { STEP=$1; say "$STEP"; }

# put MODE PATH: write standard input to PATH if it differs; remember in CHANGED what was written.
# The memory outlives an interrupted run (and a reboot starts every service anew): a file that was written and not yet
# put to use must not look unchanged to the next run.
PENDING=/run/tailspan.changed
ADMISSION=tailspan-admission.service
CHANGED=" "
put() {
  local mode=$1 path=$2 new
  mkdir -p "$(dirname "$path")"
  # Hidden: the kubelet runs every other file that appears among its manifests, for however short a time.
  new=$(mktemp "$(dirname "$path")/.tailspan.XXXXXX"); chmod "$mode" "$new"; cat >"$new"
  if cmp -s "$new" "$path"; then rm -f "$new"; return 0; fi
  remember "$path"
  mv -f "$new" "$path"
}
remember() { CHANGED="$CHANGED$1 "; echo "$CHANGED" >"$PENDING"; }
changed() { local p; for p in "$@"; do [[ $CHANGED == *" $p "* ]] && return 0; done; return 1; }

preflight() {
  step "preflight checks"
  [ "$(id -u)" = 0 ] || fail "the script runs as $(id -un): let access.ssh.user use sudo without a password"
  case $(systemd-detect-virt --container 2>/dev/null || true) in
    none | "" | lxc) ;;
    *) fail "this is a container ($(systemd-detect-virt --container)): a node needs a VM or a physical machine" ;;
  esac
  [ "$(uname -m)" = x86_64 ] || [ "$(uname -m)" = aarch64 ] || fail "architecture $(uname -m) is not supported"
  # Before anything is written: a wrong address in the stack file must not cost somebody a cluster.
  if [ ! -e /etc/tailspan/network.env ]; then
    local foreign
    for foreign in /etc/kubernetes/kubelet.conf /etc/kubernetes/pki /var/lib/etcd/member; do
      [ ! -e "$foreign" ] || fail "the machine belongs to another cluster ($foreign exists): check its address, or wipe it with 'kubeadm reset -f'"
    done
    [ ! -e /sys/class/net/tailscale0 ] || fail "a tailscaled runs on this machine already: remove it first, tailspan's own would fight with it"
  fi
  modprobe -a overlay br_netfilter tun vxlan 2>/dev/null || true
  [ -c /dev/net/tun ] || [ "$DEVICE" != yes ] || fail "/dev/net/tun is missing: Tailscale cannot run here (container pods cannot be devices of the tailnet)"
  local free
  free=$(df --output=avail -m /var/lib | tail -1)
  [ "$free" -ge 4096 ] || fail "only ${free} MiB free under /var/lib, 4096 are needed"
  local cgnat
  cgnat=$(ip -4 -o addr show | awk '$2 != "tailscale0" && $4 ~ /^100\.(6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])\./ {print $2, $4}')
  [ -z "$cgnat" ] || [ "$DEVICE" != yes ] || fail "an address in 100.64.0.0/10, which Tailscale drops: $cgnat"
  if command -v ufw >/dev/null && LC_ALL=C ufw status 2>/dev/null | grep -c 'Status: active' >/dev/null; then
    fail "ufw is active and would drop the pods' traffic: run 'ufw disable' (the provider's own firewall stays) and try again"
  fi
}

packages() {
  step "packages"
  local missing=()
  command -v containerd >/dev/null || missing+=(containerd)
  command -v runc >/dev/null || missing+=(runc)
  command -v nft >/dev/null || missing+=(nftables)
  command -v iptables >/dev/null || missing+=(iptables)
  command -v conntrack >/dev/null || missing+=(conntrack)
  command -v ethtool >/dev/null || missing+=(ethtool)
  command -v curl >/dev/null || missing+=(curl)
  [ -x /usr/lib/cni/bridge ] || [ -x /opt/cni/bin/bridge ] || missing+=(containernetworking-plugins)
  if [ ${#missing[@]} -gt 0 ]; then
    command -v apt-get >/dev/null || fail "missing ${missing[*]}, and there is no apt-get here: use a Debian or Ubuntu image, or install them"
    # A fresh Ubuntu upgrades itself at first boot and holds the lock meanwhile.
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 update -qq >&2 || fail "apt-get update"
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "${missing[@]}" >&2 || fail "apt-get install ${missing[*]}"
  fi
  local binary
  for binary in $KUBERNETES_BINARIES; do kubernetes_binary "$binary"; done
}

# The kubelet must match the cluster's minor; what is there already in that minor is kept.
kubernetes_binary() {
  local name=$1 path want have arch base
  want=${KUBERNETES_VERSION%.*}
  path=$(command -v "$name" || true)
  if [ -n "$path" ]; then
    case $name in
      kubelet) have=$("$path" --version) ;;
      kubeadm) have=$("$path" version -o short) ;;
      kubectl) have=$("$path" version --client 2>/dev/null) ;;
    esac
    [[ $have == *"v$want."* ]] && return 0
  fi
  arch=$([ "$(uname -m)" = aarch64 ] && echo arm64 || echo amd64)
  base=https://dl.k8s.io/v$KUBERNETES_VERSION/bin/linux/$arch
  say "downloading $name v$KUBERNETES_VERSION"
  curl -fsSL --retry 5 -o "/usr/local/bin/$name.new" "$base/$name" || fail "cannot download $name v$KUBERNETES_VERSION"
  echo "$(curl -fsSL --retry 5 "$base/$name.sha256")  /usr/local/bin/$name.new" | sha256sum -c --quiet >&2 || fail "checksum of $name"
  chmod 755 "/usr/local/bin/$name.new"
  remember "/usr/local/bin/$name"
  mv -f "/usr/local/bin/$name.new" "/usr/local/bin/$name"
}

host_settings() {
  step "host settings"
  swapoff -a 2>/dev/null || true
  # Written at boot by systemd-sysctl; here once by hand. rp_filter is loose because a flow may leave by one gateway
  # and return by another. A key that this kernel does not have is no error.
  sysctl -q -e -p /etc/sysctl.d/90-tailspan.conf >&2 || true
}

# Values that depend on the machine are filled in here and not by the operator, who has not seen it yet.
fill_in() {
  local driver=systemd systemd_cgroup=true resolv=/etc/resolv.conf restrict=false oom=-999 cni=/opt/cni/bin
  [ -f /sys/fs/cgroup/cgroup.controllers ] || { driver=cgroupfs; systemd_cgroup=false; }
  [ -s /run/systemd/resolve/resolv.conf ] && resolv=/run/systemd/resolve/resolv.conf
  # Without CAP_SYS_RESOURCE (bit 24) nobody may lower oom_score_adj, and every sandbox would fail on it.
  (( (0x$(awk '/^CapEff/ {print $2}' /proc/self/status) >> 24) & 1 )) || { restrict=true; oom=0; }
  [ -x /usr/lib/cni/bridge ] && cni=/usr/lib/cni
  sed -e "s|@CGROUP_DRIVER@|$driver|" -e "s|@SYSTEMD_CGROUP@|$systemd_cgroup|" -e "s|@RESOLV_CONF@|$resolv|" \
    -e "s|@RESTRICT_OOM@|$restrict|" -e "s|@OOM_SCORE_ADJ@|$oom|" -e "s|@CNI_BIN@|$cni|"
}

# The machines of a node group share one script; what is each machine's own stands in front of it. Built-ins only: the
# arguments of a program are visible to everybody, and one of the values is a secret.
fill_node() {
  local text
  IFS= read -r -d '' text || :
  text=${text//@NODE_NAME@/"$NODE_NAME"}
  text=${text//@NODE_IP@/"$NODE_IP"}
  text=${text//@POD_CIDR@/"$POD_CIDR"}
  printf '%s' "${text//@BOOTSTRAP_TOKEN@/"$BOOTSTRAP_TOKEN"}"
}

# All of it here, before there is a pod: when systemd reads its units anew, containers may lose their GPUs
# (https://github.com/NVIDIA/nvidia-docker/issues/1730). `enable` would do it as well, hence --no-reload.
reload_units() {
  if changed /etc/systemd/system/tailspan-network.service /etc/systemd/system/tailspan-gpu.service \
      /etc/systemd/system/kubelet.service /etc/systemd/system/kubelet.service.d/zz-tailspan.conf; then
    systemctl daemon-reload
  fi
}

network() {
  step "network"
  if changed /etc/tailspan/network.env /etc/tailspan/network.nft /usr/local/lib/tailspan/network.sh \
      /etc/systemd/system/tailspan-network.service || ! systemctl is-active -q tailspan-network; then
    systemctl enable -q --no-reload tailspan-network
    systemctl restart tailspan-network || fail "$(journalctl -u tailspan-network -n 5 -o cat --no-pager | tr '\n' ' ')"
  fi
}

runtime() {
  step "container runtime"
  mkdir -p /etc/containerd/conf.d
  if changed /etc/containerd/config.toml || ! systemctl is-active -q containerd; then
    systemctl enable -q --no-reload containerd
    systemctl restart containerd || fail "containerd: $(journalctl -u containerd -n 5 -o cat --no-pager | tr '\n' ' ')"
  fi
}

kubelet_service() {
  step "kubelet"
  if changed /etc/systemd/system/kubelet.service /etc/systemd/system/kubelet.service.d/zz-tailspan.conf \
      /etc/tailspan/kubelet.yaml /usr/local/bin/kubelet || ! systemctl is-active -q kubelet; then
    systemctl enable -q --no-reload kubelet
    systemctl restart kubelet || fail "$(journalctl -u kubelet -n 5 -o cat --no-pager | tr '\n' ' ')"
  fi
}

# A bootstrap kubeconfig matters only until the node has a certificate; its token dies with the join.
has_certificate() { [ -s /var/lib/kubelet/pki/kubelet-client-current.pem ] && [ -s /etc/kubernetes/kubelet.conf ]; }

# Until it has a certificate the kubelet is refused whatever it asks, and asks ever more rarely: client-go's reflectors
# wait up to a minute. Started anew it asks at once; its pods live on. Not while its Node has no capacity: a kubelet that
# starts with such a one refuses its own static pods, for good. The operator declares it with one (ops/node.py).
restart_when_admitted() {
  has_certificate && return 0
  systemctl stop $ADMISSION 2>/dev/null || true
  systemd-run -q --collect --unit=$ADMISSION --property=RuntimeMaxSec=7200 /bin/sh -c '
    pki=/var/lib/kubelet/pki/kubelet-client-current.pem
    until server=$(grep -o "https://[^ ]*" /etc/kubernetes/kubelet.conf) &&
        curl -sf -m 5 --cacert /etc/kubernetes/pki/ca.crt --cert $pki --key $pki "$server/api/v1/nodes/$0" |
        grep -q "\"allocatable\":"; do sleep 0.5; done
    exec systemctl try-restart kubelet' "$NODE_NAME"
}

connector() {
  connector_manifest
  # With its state on disk the connector needs no key any more; writing one again would only leave a secret behind.
  [ -s /var/lib/tailspan/tailscale/tailscaled.state ] || connector_key
}

wait_for_connector() {
  [ -f /etc/kubernetes/manifests/apiserver-connector.yaml ] || return 0
  step "apiserver-connector"
  local i logs
  for i in $(seq 240); do
    if ip -4 -o addr show dev tailscale0 2>/dev/null | grep -q 'inet 100\.'; then
      # The key has done its only work; it is single-use, and now it is gone from the machine too.
      rm -f /etc/tailspan/connector/authkey
      return 0
    fi
    sleep 0.5
  done
  logs=$(tail -qn 6 /var/log/pods/tailscale_apiserver-connector*/tailscale/*.log 2>/dev/null | tr '\n' ' ') || true
  fail "no tailnet address after 120 s (a key is good for one hour: if it was refused, raise generation of $NODE_NAME); last log lines: ${logs:-the pod has not started: $(journalctl -u kubelet -n 4 -o cat --no-pager | tr '\n' ' ')}"
}

# The next gateway of the region is not touched before this one is back: its partners find that it forwards, and have
# taken it back. Asked of the pod of this manifest, not of the one that it replaces.
wait_for_forwarding() {
  local manifest=/etc/kubernetes/manifests/apiserver-connector.yaml want i said
  want=$(awk '$1 == "tailspan.dev/agent:" {print $2}' "$manifest" 2>/dev/null) || true
  [ -n "$want" ] || return 0
  step "forwarding"
  for i in $(seq 600); do
    if [ "$(curl -sf -m 2 http://127.0.0.1:41643/identity 2>/dev/null)" = "$want" ] &&
        curl -sf -m 2 http://127.0.0.1:41643/readyz >/dev/null 2>&1; then
      return 0
    fi
    sleep 0.5
  done
  said=$(curl -s -m 2 http://127.0.0.1:41643/readyz 2>&1) || said="the route agent does not answer: $(tail -qn 4 /var/log/pods/tailscale_apiserver-connector*/route-agent/*.log 2>/dev/null | tr '\n' ' ')"
  fail "this gateway does not forward after 300 s, so no other one is touched: $said"
}

# A folder may be a disk of its own, which stays; and what is still mounted below it is not ours to delete.
wipe() {
  local folder
  for folder in "$@"; do
    [ -d "$folder" ] || continue
    find "$folder" -xdev -mindepth 1 -delete || fail "$folder cannot be emptied"
    rmdir "$folder" 2>/dev/null || true
  done
}

leave() {
  step "leave"
  systemctl stop $ADMISSION 2>/dev/null || true
  systemctl disable -q --now kubelet 2>/dev/null || true
  rm -rf /etc/kubernetes
  if systemctl is-active -q containerd; then
    ctr -n k8s.io tasks ls -q 2>/dev/null | xargs -r -n1 ctr -n k8s.io tasks kill -s SIGKILL 2>/dev/null || true
    ctr -n k8s.io containers ls -q 2>/dev/null | xargs -r ctr -n k8s.io containers rm 2>/dev/null || true
  fi
  awk '$2 ~ "^/var/lib/kubelet/" {print $2}' /proc/mounts | sort -r | xargs -r umount -l 2>/dev/null || true
  [ -x /usr/local/lib/tailspan/network.sh ] && /usr/local/lib/tailspan/network.sh down || true
  systemctl disable -q --now tailspan-network tailspan-gpu 2>/dev/null || true
  # What a dead tailscaled leaves behind (k3s-io/k3s#7772).
  ip link del tailscale0 2>/dev/null || true
  ip link del cni0 2>/dev/null || true
  for pref in 5210 5230 5250 5270; do while ip rule del pref $pref 2>/dev/null; do :; done; done
  ip route flush table 52 2>/dev/null || true
  nft list tables 2>/dev/null | awk '$1 == "table" && $3 ~ /^ts-|^kube-proxy/ {print $2, $3}' | while read -r f t; do nft delete table "$f" "$t"; done || true
  command -v iptables-save >/dev/null && iptables-save 2>/dev/null | grep -vE 'KUBE-|ts-(input|forward|postrouting)' | iptables-restore 2>/dev/null || true
  wipe /var/lib/kubelet /var/lib/etcd
  rm -rf /var/lib/tailspan /etc/tailspan /usr/local/lib/tailspan /var/lib/cni \
    /etc/cni/net.d/10-tailspan.conflist /etc/systemd/system/kubelet.service \
    /etc/systemd/system/kubelet.service.d/zz-tailspan.conf /etc/systemd/networkd.conf.d/90-tailspan.conf /etc/systemd/system/tailspan-network.service /etc/systemd/system/tailspan-gpu.service \
    /etc/sysctl.d/90-tailspan.conf /etc/modules-load.d/tailspan.conf /var/log/pods/tailscale_*
  [ ! -e /etc/containerd/config.toml.before-tailspan ] || mv -f /etc/containerd/config.toml.before-tailspan /etc/containerd/config.toml
  rm -f "$PENDING"
  systemctl daemon-reload
  say "left"
}

join() {
  # Only now: the run before this one may have written until it let go of the lock.
  CHANGED=" $(cat "$PENDING" 2>/dev/null || true) "
  preflight
  gpu_preflight
  packages
  gpu_packages
  # Kept for the day the machine leaves; only the first run sees the original.
  # Not `cp -n`: it fails on an existing copy in some coreutils, which would end a second run without a word.
  if [ ! -e /etc/tailspan/network.env ] && [ -e /etc/containerd/config.toml ] &&
      [ ! -e /etc/containerd/config.toml.before-tailspan ]; then
    cp /etc/containerd/config.toml /etc/containerd/config.toml.before-tailspan
  fi
  write_files
  reload_units
  host_settings
  network
  gpu_runtime
  runtime
  machine_role
  rm -f "$PENDING"
  say "done"
}

# A second operator run waits for the first: an interrupted `pulumi up` may have left a script running here.
exec 9>/run/tailspan.lock
flock -w 600 9 || { echo "tailspan[$NODE_NAME] another run still works on this machine after 10 minutes" >&2; exit 1; }
# Children must not keep the lock, or a daemon that they start would.
case ${1:-} in
  join) join 9>&- ;;
  leave) leave 9>&- ;;
  *) echo "usage: node.sh join|leave" >&2; exit 2 ;;
esac
