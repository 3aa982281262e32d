"""The `tailscale` package against headscale's API: the policy file and pre-authentication keys."""

from lab.plugins.base import Package
from lab.plugins.schema import Record
from lab.plugins.tailscale.acl import Acl, get_acl
from lab.plugins.tailscale.tailnet_key import TailnetKey

package = Package(
    name="tailscale",
    resources={"tailscale:index/acl:Acl": Acl(), "tailscale:index/tailnetKey:TailnetKey": TailnetKey()},
    functions={"tailscale:index/getAcl:getAcl": get_acl},
    config=Record({"apiKey!": "string", "baseUrl!": "string", "tailnet": "string", "userAgent": "string"}),
)
