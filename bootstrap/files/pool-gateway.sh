#!/bin/sh
# A gateway's share of the network on a node that a cloud made: what network.sh and network.nft do on machines of the
# stack. It runs in a container before Tailscale, on the host's network, and again whenever the pod starts; values come
# from the environment. The image has iproute2 and iptables, and no nft.
set -eu

# As in network.sh: before Tailscale's own rules, and the protocol number of our routes.
OWN_RULES=2500
OURS=177

if [ "$(cat "${PROC:-/proc}/sys/net/ipv4/ip_forward")" != 1 ]; then
  echo "pool-gateway: the node does not forward packets (net.ipv4.ip_forward)" >&2
  exit 1
fi

ROUTER='' DEVICE=''
# shellcheck disable=SC2046  # words are wanted
set -- $(ip -4 route show default | head -n 1)
while [ $# -gt 1 ]; do
  case $1 in via) ROUTER=$2 ;; dev) DEVICE=$2 ;; esac
  shift
done
if [ -z "$ROUTER" ] || [ -z "$DEVICE" ]; then
  echo "pool-gateway: the node has no default route" >&2
  exit 1
fi

# The region's own ranges and the Services' never go into the tailnet, and what no region has must not leave for the
# VPC, whose route would send it here again.
for cidr in $OWN; do
  ip route replace "$cidr" via "$ROUTER" dev "$DEVICE" onlink proto $OURS
  ip rule del to "$cidr" pref $OWN_RULES 2>/dev/null || true
  ip rule add to "$cidr" lookup main pref $OWN_RULES
done
for cidr in $SUPERNETS; do
  ip route replace unreachable "$cidr" metric 4096 proto $OURS
done
# The load balancer's probes are addressed to its own address.
if [ -n "$BALANCER" ]; then
  ip route replace local "$BALANCER/32" dev "$DEVICE" table local proto $OURS
fi

chain() { # table, parent, how it is hung in, name
  iptables -w -t "$1" -N "$4" 2>/dev/null || iptables -w -t "$1" -F "$4"
  iptables -w -t "$1" -C "$2" -j "$4" 2>/dev/null || iptables -w -t "$1" "$3" "$2" -j "$4"
}

# A private endpoint answers machines of its own network, and addresses of other regions are none of them. What the node
# itself sends into the tailnet would carry its tailnet address, to which no other node routes back.
chain nat POSTROUTING -I TAILSPAN-SOURCE
iptables -w -t nat -A TAILSPAN-SOURCE -d "$ENDPOINT" -p tcp --dport "$API_PORT" ! -s "$NODE_IP" -j MASQUERADE
for cidr in $SUPERNETS; do
  iptables -w -t nat -A TAILSPAN-SOURCE -o tailscale0 -s 100.64.0.0/10 -d "$cidr" -j SNAT --to-source "$NODE_IP"
done

# Like nft's, this target never raises an MSS (net/netfilter/xt_TCPMSS.c).
chain mangle FORWARD -I TAILSPAN-MSS
for way in -i -o; do
  iptables -w -t mangle -A TAILSPAN-MSS "$way" tailscale0 -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss "$MSS"
done

# Behind what the cloud's own rules say.
chain filter FORWARD -A TAILSPAN-FORWARD
for cidr in $SUPERNETS; do
  iptables -w -t filter -A TAILSPAN-FORWARD -s "$cidr" -j ACCEPT
  iptables -w -t filter -A TAILSPAN-FORWARD -d "$cidr" -j ACCEPT
done

# tailscaled offers every address of the node as an endpoint; over one of the pods' a tunnel would run inside the pod
# network. And only the load balancer's probes learn whether this gateway carries traffic.
chain filter INPUT -I TAILSPAN-INPUT
iptables -w -t filter -A TAILSPAN-INPUT -d "$REGION_POD_CIDR" -p udp --dport "$TAILSCALE_PORT" -j DROP
for cidr in $HEALTH_SOURCES; do
  iptables -w -t filter -A TAILSPAN-INPUT -s "$cidr" -p tcp --dport "$HEALTH_PORT" -j RETURN
done
iptables -w -t filter -A TAILSPAN-INPUT ! -i lo -p tcp --dport "$HEALTH_PORT" -j DROP
