"""The three calls of EC2 that the agent needs (https://docs.aws.amazon.com/AWSEC2/latest/APIReference).

Requests wait, so they run in a thread. What is no answer of EC2's raises, and nothing is made up of half an answer.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal
from urllib.parse import urlencode, urlsplit
from xml.etree import ElementTree

from agent.aws.imds import Imds
from agent.aws.sigv4 import Request, signed_headers
from agent.core.cloud_routes import Route

TIMEOUT = 4.0
_VERSION = "2016-11-15"
_LARGEST = 4 << 20
_MOST_PAGES = 50

Kind = Literal["throttled", "denied", "gone", "broken"]
_THROTTLED = ("RequestLimitExceeded", "Throttling", "ThrottlingException")
_DENIED = ("UnauthorizedOperation", "AccessDenied", "AuthFailure", "InvalidClientTokenId", "RequestExpired")


class Ec2Error(OSError):
    """A call without success: `kind` says what to expect of the next one."""

    def __init__(self, kind: Kind, text: str) -> None:
        self.kind = kind
        super().__init__(text)


class Ec2:
    """EC2 in the region of this instance, with its role. Every method raises Ec2Error or ImdsError."""

    def __init__(self, imds: Imds, endpoint: str | None = None) -> None:
        self._imds = imds
        self._endpoint = endpoint

    def routes(self, vpc: str, tables: Sequence[str], tag: tuple[str, str]) -> list[Route]:
        """The routes of the listed tables, or of those of the VPC with the tag."""
        wanted = _numbered("RouteTableId", tables) if tables else _filters({f"tag:{tag[0]}": [tag[1]]}, 2)
        found = []
        for answer in self._pages("DescribeRouteTables", _filters({"vpc-id": [vpc]}) | wanted):
            for table in _items(answer, "routeTableSet"):
                name = _text(table, "routeTableId")
                if name is None:
                    raise Ec2Error("broken", "DescribeRouteTables: a table without its id")
                found += [route for item in _items(table, "routeSet") if (route := _route(name, item))]
        return found

    def interfaces(self, vpc: str, addresses: Sequence[str]) -> dict[str, str]:
        """The interfaces that have these addresses first, by address."""
        wanted = _filters({"vpc-id": [vpc], "addresses.private-ip-address": addresses})
        found = {}
        for answer in self._pages("DescribeNetworkInterfaces", wanted):
            for item in _items(answer, "networkInterfaceSet"):
                address, interface = _text(item, "privateIpAddress"), _text(item, "networkInterfaceId")
                if address and interface and address in addresses:
                    found[address] = interface
        return found

    def replace(self, route: Route, interface: str) -> None:
        """Lead an existing route to another interface."""
        wanted = {
            "RouteTableId": route.table,
            "DestinationCidrBlock": route.destination,
            "NetworkInterfaceId": interface,
        }
        if _text(self._call("ReplaceRoute", wanted), "return") != "true":
            raise Ec2Error("broken", "ReplaceRoute: an answer that does not say true")

    def _pages(self, action: str, wanted: Mapping[str, str]) -> Iterator[ElementTree.Element]:
        token: str | None = None
        for _ in range(_MOST_PAGES):
            answer = self._call(action, dict(wanted) | ({"NextToken": token} if token else {}))
            yield answer
            token = _text(answer, "nextToken")
            if not token:
                return
        raise Ec2Error("broken", f"{action}: more than {_MOST_PAGES} pages")

    def _call(self, action: str, wanted: Mapping[str, str]) -> ElementTree.Element:
        place = self._imds.place()
        endpoint = self._endpoint or f"https://ec2.{place.region}.{place.domain}"
        body = urlencode({"Action": action, "Version": _VERSION} | dict(wanted)).encode()
        plain = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
        request = Request("POST", urlsplit(endpoint).netloc, headers=plain, body=body)
        headers = signed_headers(request, self._imds.credentials(), place.region, "ec2", time.time())
        status, content = _send(endpoint, headers, body, action)
        try:
            answer = ElementTree.fromstring(content)
        except ElementTree.ParseError as error:
            kind: Kind = "throttled" if status in (429, 503) else "broken"
            raise Ec2Error(kind, f"{action}: {status}, and no XML: {error}") from error
        _strip(answer)
        if status != 200:
            self._refuse(action, status, answer)
        if answer.tag != f"{action}Response":
            raise Ec2Error("broken", f"{action}: answered with {answer.tag[:80]}")
        return answer

    def _refuse(self, action: str, status: int, answer: ElementTree.Element) -> None:
        code = answer.findtext("./Errors/Error/Code") or str(status)
        message = (answer.findtext("./Errors/Error/Message") or "")[:200]
        kind: Kind = "broken"
        if code in _THROTTLED or status in (429, 503):
            kind = "throttled"
        elif code in _DENIED:
            kind = "denied"
            self._imds.forget()
        elif code.endswith(".NotFound"):
            kind = "gone"
        raise Ec2Error(kind, f"{action}: {code}: {message}")


def _send(endpoint: str, headers: Mapping[str, str], body: bytes, action: str) -> tuple[int, bytes]:
    parts = urlsplit(endpoint)
    made = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = made(parts.netloc, timeout=TIMEOUT)
    try:
        connection.request("POST", "/", body, dict(headers))
        answer = connection.getresponse()
        content = answer.read(_LARGEST + 1)
    except (OSError, http.client.HTTPException) as error:
        raise Ec2Error("broken", f"{action}: {type(error).__name__}: {error}") from error
    finally:
        connection.close()
    if len(content) > _LARGEST:
        raise Ec2Error("broken", f"{action}: an answer of more than {_LARGEST} bytes")
    return answer.status, content


def _numbered(name: str, values: Iterable[str]) -> dict[str, str]:
    return {f"{name}.{number}": value for number, value in enumerate(values, 1)}


def _filters(wanted: Mapping[str, Sequence[str]], first: int = 1) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, (name, values) in enumerate(wanted.items(), first):
        found[f"Filter.{number}.Name"] = name
        found |= _numbered(f"Filter.{number}.Value", values)
    return found


def _route(table: str, item: ElementTree.Element) -> Route | None:
    """None for a route to IPv6 or to a prefix list: those are nobody's of ours."""
    destination = _text(item, "destinationCidrBlock")
    if destination is None:
        return None
    return Route(table, destination, _text(item, "networkInterfaceId"), _text(item, "state") == "blackhole")


def _items(answer: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return answer.findall(f"./{name}/item")


def _text(item: ElementTree.Element, name: str) -> str | None:
    found = item.findtext(f"./{name}")
    return found.strip() or None if found else None


def _strip(answer: ElementTree.Element) -> None:
    """The namespace is that of the API's version, and says nothing more."""
    for element in answer.iter():
        element.tag = element.tag.rpartition("}")[2]
