#!/bin/bash
# The machine's share of the cluster network: addresses, routes, rules and packet filter. `up` may run again at any
# time; `down` removes what `up` made. Values come from network.env, written by the node script.
set -euo pipefail
source /etc/tailspan/network.env

# Set in stone so that a restarted tailscaled cannot change the order: Tailscale's own rules begin at 5210.
OWN_RULES=2500
# The protocol number of our routes (rtnetlink: 17 and up are free), so that `down` takes nobody else's:
# networkd marks the default route of a machine with a static address as `static`.
OURS=177
TUNNEL=tailspan0
# What the route agent makes (agent/kernel/): its routes and nexthops carry 178, its rules have this priority.
AGENTS=178
AGENTS_RULES=2400

lan_device() { ip -4 -o addr show to "$NODE_IP/32" | awk '$2 != "lo" && $2 != "tailspan0" && !found++ {print $2}'; }

wait_for_lan() {
  # At boot the address may come late (DHCP); a machine without a LAN of its own carries its node IP on lo.
  for _ in $(seq "${LAN_WAIT_SECONDS:-30}"); do
    LAN=$(lan_device)
    [ -n "$LAN" ] && return 0
    [ "$ALONE" = yes ] && break
    sleep 1
  done
  [ "$ALONE" = yes ] || { echo "tailspan-network: no interface has the node IP $NODE_IP" >&2; exit 1; }
  LAN=lo
  ip addr replace "$NODE_IP/32" dev lo
}

# One VXLAN device towards the region's gateways, for networks that route every packet by its destination (each VM is
# a /32 there, so a kernel next hop would be ignored). Its MAC is made from the node IP: nothing has to be learned.
mac_of() { local a b c d; IFS=. read -r a b c d <<<"$1"; printf '02:54:%02x:%02x:%02x:%02x' "$a" "$b" "$c" "$d"; }

tunnel_up() {
  ip link show "$TUNNEL" >/dev/null 2>&1 ||
    ip link add "$TUNNEL" type vxlan id "$VXLAN_ID" dstport "$VXLAN_PORT" local "$NODE_IP" dev "$LAN" nolearning
  ip link set "$TUNNEL" address "$(mac_of "$NODE_IP")" mtu $(($(cat "/sys/class/net/$LAN/mtu") - 50)) up
  # The kernel takes nothing from a device without an address when rp_filter is on, not even when it is loose.
  ip addr replace "$NODE_IP/32" dev "$TUNNEL"
  sysctl -qw "net.ipv4.conf.$TUNNEL.rp_filter=2"
  local gateway
  for gateway in $GATEWAYS; do
    [ "$gateway" = "$NODE_IP" ] && continue
    bridge fdb replace "$(mac_of "$gateway")" dev "$TUNNEL" dst "$gateway"
    ip neigh replace "$gateway" lladdr "$(mac_of "$gateway")" dev "$TUNNEL" nud permanent
  done
}

default_device() { ip -4 route show default | awk '!found++ {for (i = 1; i < NF; i++) if ($i == "dev") print $(i + 1)}'; }

routes_up() {
  local peer supernet
  if [ "$ALONE" = yes ]; then
    :
  elif [ "$REACH" = lan ]; then
    # Pods of machines on the same LAN: straight to the machine, never through a tunnel.
    for peer in $PEERS; do
      # The machines of a node group share one list, with each of them in it.
      [ "${peer%%=*}" != "$NODE_IP" ] || continue
      ip route replace "${peer#*=}" via "${peer%%=*}" dev "$LAN" proto $OURS
    done
  elif [ "$REACH" = tunnel ]; then
    local router
    router=$(ip -4 route show default | awk '!found++ {for (i = 1; i < NF; i++) if ($i == "via") print $(i + 1)}')
    ip route replace "$NODE_CIDR" via "$router" dev "$LAN" onlink proto $OURS
    ip route replace "$REGION_POD_CIDR" via "$router" dev "$LAN" onlink proto $OURS
    tunnel_up
  fi
  # A pod address of this region that no machine has must not wander to a gateway and back.
  [ "$REACH" = tunnel ] || ip route replace unreachable "$REGION_POD_CIDR" metric 4096 proto $OURS
  # Service addresses are translated on this machine (kube-proxy), but only after a route was found for them. They may
  # lie inside a supernet, and one that no Service has must go nowhere.
  local device=$LAN
  [ "$device" != lo ] || device=$(default_device)
  ip route replace "$SERVICE_CIDR" dev "$device" scope link src "$NODE_IP" proto $OURS
  for supernet in $SUPERNETS; do
    if [ "$DEVICE" = yes ]; then
      # tailscaled's table 52 comes first; what it does not know must not leak to the internet.
      ip route replace unreachable "$supernet" metric 4096 proto $OURS
    elif [ -n "$(ip route show "$supernet" proto $AGENTS)" ]; then
      # The route agent's choice among the gateways; it may have left this one, because it is dead.
      :
    elif [ "$REACH" = tunnel ]; then
      ip route replace "$supernet" via "$NEXT_HOP" dev "$TUNNEL" onlink mtu "$MTU" advmss "$MSS" proto $OURS
    else
      ip route replace "$supernet" via "$NEXT_HOP" dev "$LAN" mtu "$MTU" advmss "$MSS" proto $OURS
    fi
  done
}

rules_up() {
  # A gateway accepts the routes that its partner advertises, its own region's among them. Without these rules it
  # would send the region's traffic to its partner (tailscale/tailscale#7947). A machine that is a device of its own
  # keeps its own pods: another device of the region may advertise them, by mistake or to get their traffic.
  # Nothing is taken away that is right: this runs on gateways that carry traffic.
  local cidr stale
  ip rule show pref $OWN_RULES | awk '{print $5}' | while read -r stale; do
    [[ " $OWN " == *" $stale "* ]] || ip rule del to "$stale" pref $OWN_RULES
  done
  for cidr in $OWN; do
    [ -n "$(ip rule show pref $OWN_RULES to "$cidr")" ] || ip rule add to "$cidr" lookup main pref $OWN_RULES
  done
}

rules_down() { while ip rule del pref $OWN_RULES 2>/dev/null; do :; done; }

# As `agent remove`, for a machine that has no agent any more, and no Python.
agent_down() {
  local id
  ip route flush proto $AGENTS table all 2>/dev/null || true
  ip nexthop show proto $AGENTS 2>/dev/null | awk '{print $2}' | sort -rn | while read -r id; do
    ip nexthop del id "$id" 2>/dev/null || true
  done || true
  while ip rule del pref $AGENTS_RULES 2>/dev/null; do :; done
  # One that was killed while a tailscaled was fresh left its device quiet.
  tc qdisc del dev tailscale0 root blackhole 2>/dev/null || true
  # The addresses of its probes: the pods of host 0, which no machine has.
  ip -4 -o addr show dev lo scope global | awk '{print $4}' | grep -vx "$NODE_IP/32" | while read -r id; do
    in_probes "${id%/32}" && ip addr del "$id" dev lo 2>/dev/null || true
  done || true
}

# The /27 at the beginning of the region's pod range.
in_probes() {
  local base=${REGION_POD_CIDR%/*} last=${1##*.}
  [ "${1%.*}" = "${base%.*}" ] && [ $((last - ${base##*.})) -ge 4 ] && [ $((last - ${base##*.})) -lt 20 ]
}

forwarding_offload() {
  # UDP GRO forwarding lifts a device's throughput (Tailscale's performance best practices); not every driver has it.
  [ "$DEVICE" = yes ] && command -v ethtool >/dev/null || return 0
  local device=$LAN
  [ "$device" != lo ] || device=$(default_device)
  ethtool -K "$device" rx-udp-gro-forwarding on rx-gro-list off >/dev/null 2>&1 || true
}

# Written into the file and not over it: in some images it is a mount. Again at every boot, because cloud-init may
# make the file anew, and without the name the kubelet finds no API server.
hosts_without_ours() { grep -v '# tailspan$' /etc/hosts || true; }

hosts_up() {
  local line="$API_ADDRESS $API_NAME # tailspan" others
  grep -qxF "$line" /etc/hosts && return 0
  others=$(hosts_without_ours)
  printf '%s\n%s\n' "$others" "$line" >/etc/hosts
}

# Docker sets the policy of FORWARD to DROP, also later than this. kube-proxy's own rules stay in front of these.
forward_up() {
  local supernet direction
  for supernet in $SUPERNETS; do
    for direction in -s -d; do
      iptables -w -C FORWARD "$direction" "$supernet" -m comment --comment tailspan -j ACCEPT 2>/dev/null ||
        iptables -w -A FORWARD "$direction" "$supernet" -m comment --comment tailspan -j ACCEPT
    done
  done
}

forward_down() {
  local supernet direction
  for supernet in $SUPERNETS; do
    for direction in -s -d; do
      iptables -w -D FORWARD "$direction" "$supernet" -m comment --comment tailspan -j ACCEPT 2>/dev/null || true
    done
  done
}

hosts_down() {
  local others
  others=$(hosts_without_ours)
  printf '%s\n' "$others" >/etc/hosts
}

down() {
  hosts_down
  forward_down
  agent_down
  nft delete table inet tailspan 2>/dev/null || true
  rules_down
  ip route flush proto $OURS table main 2>/dev/null || true
  ip link del "$TUNNEL" 2>/dev/null || true
  ip addr del "$NODE_IP/32" dev lo 2>/dev/null || true
}

case ${1:-up} in
  up) wait_for_lan; hosts_up; rules_up; routes_up; forward_up; forwarding_offload; nft -f /etc/tailspan/network.nft ;;
  down) down ;;
  *) echo "usage: network.sh up|down" >&2; exit 2 ;;
esac
