"""The `tailscale` package against headscale's API: the policy file and pre-authentication keys."""

from lab.plugins.base import Package
from lab.plugins.schema import Record
from lab.plugins.tailscale.acl import Acl, get_acl
from lab.plugins.tailscale.tailnet_key import TailnetKey

package = Package(
    name="tailscale",
    resources={"tailscale:index/acl:Acl": Acl(), "tailscale:index/tailnetKey:TailnetKey": TailnetKey()},
    functions={"tailscale:index/getAcl:getAcl": get_acl},
    # Without baseUrl it is a tailnet at Tailscale: that can be previewed here, and asking it is refused (api.request).
    config=Record({"apiKey!": "string", "baseUrl": "string", "tailnet": "string", "userAgent": "string"}),
)
