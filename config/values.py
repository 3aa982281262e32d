"""Value types of the stack file: each refuses a wrong value with the words to write instead."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network, NetmaskValueError
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

NO_IPV6 = "is IPv6; tailspan plans IPv4 only, write an IPv4 {what}"
_DNS_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_DNS_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)+")
_DURATION = re.compile(r"(\d+)(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_VERSION = re.compile(r"\d+\.\d+\.\d+")
_HOST_KEY = re.compile(r"(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)) [A-Za-z0-9+/]{40,}={0,2}( .*)?")
_PUBLIC_KEY = re.compile(
    r"(sk-)?(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521))(@openssh\.com)? [A-Za-z0-9+/]{40,}={0,2}( .*)?"
)
_REGISTRY = re.compile(r"[a-z0-9.-]+(:\d+)?(/[a-z0-9._-]+)*")


def parse_network(value: Any) -> IPv4Network:
    """A CIDR without host bits. Numbers are refused: ipaddress would take 24 for 0.0.0.24/32."""
    if isinstance(value, IPv4Network):
        return value
    if not isinstance(value, str) or "/" not in value:
        raise ValueError(_without_prefix(value))
    if ":" in value and _is_ipv6(value):
        raise ValueError(NO_IPV6.format(what="range such as 10.1.0.0/24"))
    try:
        loose = IPv4Network(value, strict=False)
    except (AddressValueError, NetmaskValueError, ValueError):
        raise ValueError(
            "is not an IPv4 range; write it as address/prefix, for example 10.1.0.0/24"
        ) from None
    if str(loose) != value:
        reason = (
            "has host bits"
            if str(loose.network_address) != value.split("/")[0]
            else "is not in the short form"
        )
        raise ValueError(f"{reason}; write {loose}")
    return loose


def _without_prefix(value: Any) -> str:
    try:
        address = IPv4Address(value) if isinstance(value, str) else None
    except AddressValueError:
        address = None
    if address is not None:
        return (
            f"has no prefix length; write {address}/32 for this one address, or a range such as 10.1.0.0/24"
        )
    if isinstance(value, str) and _is_ipv6(value):
        return NO_IPV6.format(what="range such as 10.1.0.0/24")
    return "is not an IPv4 range; write it as address/prefix, for example 10.1.0.0/24"


def _is_ipv6(value: str) -> bool:
    try:
        return bool(IPv6Network(value, strict=False))
    except ValueError:
        return False


def parse_address(value: Any) -> IPv4Address:
    """One address. Numbers are refused: ipaddress would take 10 for 0.0.0.10."""
    if isinstance(value, IPv4Address):
        return value
    if isinstance(value, str):
        try:
            return IPv4Address(value)
        except AddressValueError:
            pass
        try:
            IPv6Address(value)
        except AddressValueError:
            pass
        else:
            raise ValueError(NO_IPV6.format(what="address such as 10.1.0.10"))
        if "/" in value:
            raise ValueError(f"is a range; write the address alone, for example {value.split('/')[0]}")
    raise ValueError("is not an IPv4 address; write one such as 10.1.0.10")


def parse_duration(value: Any) -> int:
    """`90s`, `30m`, `1h`, `2d` (or a number of seconds) as seconds."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None or int(match[1]) == 0:
        raise ValueError("is not a duration; write a number and a unit, for example 90s, 30m, 1h or 2d")
    return int(match[1]) * _SECONDS[match[2]]


def _text(value: Any, remedy: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"is not text; {remedy}")
    return value


def _dns_label(value: str) -> str:
    if not _DNS_LABEL.fullmatch(value) or len(value) > 40:
        # 40, not 63: names become part of node names, device names and Kubernetes object names.
        raise ValueError(
            "is not a name that DNS can carry; write at most 40 lower-case letters, digits "
            "and inner dashes, a letter first"
        )
    return value


def _dns_name(value: str) -> str:
    if not _DNS_NAME.fullmatch(value) or len(value) > 253:
        raise ValueError(
            "is not a DNS name; write one with at least one dot, for example api.dev.tailspan.internal"
        )
    return value


def _version(value: Any) -> str:
    remedy = "write all three numbers, for example 1.33.1"
    text = _text(value, remedy)
    if not _VERSION.fullmatch(text):
        raise ValueError(f"is not a version; {remedy}" + (" (without the v)" if text.startswith("v") else ""))
    return text


def _host_key(value: str) -> str:
    if not _HOST_KEY.fullmatch(value):
        raise ValueError(
            "is not a public host key; write one line as `ssh-keyscan -t ed25519 HOST` "
            "prints it, without the host, "
            'for example "ssh-ed25519 AAAAC3..."'
        )
    return value


def _public_key(value: str) -> str:
    if not _PUBLIC_KEY.fullmatch(value):
        raise ValueError(
            "is not a public SSH key; write the one line of the .pub file, for example "
            '"ssh-ed25519 AAAAC3... me@laptop"'
        )
    return value


def _registry_prefix(value: str) -> str:
    if not _REGISTRY.fullmatch(value):
        raise ValueError(
            "is not a registry prefix; write host[:port][/path] without https:// and "
            "without a slash at the end, "
            "for example registry.example.com/mirror"
        )
    return value


def _https_url(value: str) -> str:
    if not re.fullmatch(r"https://[A-Za-z0-9.-]+(:\d+)?", value.rstrip("/")):
        raise ValueError(
            "is not the address of a control server; write https://HOST, for example https://headscale.example.com"
        )
    return value.rstrip("/")


def _label_value(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?", value):
        raise ValueError(
            "cannot be the value of a node label; write letters, digits, '-', '_' and '.', for example H100-80GB"
        )
    return value


def _device_name(value: str) -> str:
    # As Linux allows it (net/core/dev.c: dev_valid_name), without what a shell or a chart value could misread.
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}", value):
        raise ValueError("is not a network interface; write its name as `ip link` shows it, for example eth0")
    return value


def _host(value: str) -> str:
    if re.fullmatch(r"[0-9.]+", value):
        return str(parse_address(value))
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", value):
        if ":" in value and _is_ipv6(value):
            raise ValueError(NO_IPV6.format(what="address such as 203.0.113.10"))
        raise ValueError(
            "is not an address; write it without user, port and path, for example 203.0.113.10 or a DNS name"
        )
    return value


def _reason(value: str) -> str:
    if len(value.split()) < 2 or not value.isprintable():
        raise ValueError("says too little; write it in a few words on one line, for the next reader")
    return value


def _open_port(value: int) -> int:
    if not 1 <= value <= 65535:
        raise ValueError("is not a port; write a number from 1 to 65535")
    return value


def _as(what: str, pattern: str) -> WithJsonSchema:
    """How editors and docs/configuration.md show a text: its form only, the validators above have the last word."""
    return WithJsonSchema({"title": what, "type": "string", "pattern": pattern})


_OCTETS = r"\d{1,3}(\.\d{1,3}){3}"
_VERSION_FORM = _as("version", r"^\d+\.\d+\.\d+$")

Network = Annotated[IPv4Network, BeforeValidator(parse_network), _as("IPv4 range", rf"^{_OCTETS}/\d{{1,2}}$")]
Address = Annotated[IPv4Address, BeforeValidator(parse_address), _as("IPv4 address", rf"^{_OCTETS}$")]
Seconds = Annotated[
    int,
    BeforeValidator(parse_duration),
    WithJsonSchema(
        {
            "title": "duration",
            "anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": r"^\d+[smhd]$"}],
        }
    ),
]
Name = Annotated[str, AfterValidator(_dns_label), _as("name", r"^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$")]
DnsName = Annotated[str, AfterValidator(_dns_name), _as("DNS name", rf"^{_DNS_NAME.pattern}$")]
Version = Annotated[str, BeforeValidator(_version), _VERSION_FORM]
HostKey = Annotated[str, AfterValidator(_host_key), _as("public host key", rf"^({_HOST_KEY.pattern})$")]
PublicKey = Annotated[str, AfterValidator(_public_key), _as("public SSH key", rf"^({_PUBLIC_KEY.pattern})$")]
RegistryPrefix = Annotated[
    str, AfterValidator(_registry_prefix), _as("host[:port][/path]", rf"^{_REGISTRY.pattern}$")
]
HttpsUrl = Annotated[str, AfterValidator(_https_url), _as("https://HOST", "^https://[^/]+/?$")]
Port = Annotated[
    int,
    AfterValidator(_open_port),
    WithJsonSchema({"title": "port", "type": "integer", "minimum": 1, "maximum": 65535}),
]
Host = Annotated[str, AfterValidator(_host), _as("address or DNS name", "^[A-Za-z0-9.-]+$")]
Reason = Annotated[str, AfterValidator(_reason), _as("a few words", r"\S\s+\S")]
Owner = Annotated[str, Field(min_length=1, max_length=100)]
MachineType = Annotated[str, Field(min_length=1, max_length=100)]
LabelValue = Annotated[
    str, AfterValidator(_label_value), _as("label value", "^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$")
]
DeviceName = Annotated[
    str, AfterValidator(_device_name), _as("network interface", "^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$")
]
