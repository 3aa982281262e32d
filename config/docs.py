"""What editors and readers get of the models: a JSON Schema of the whole stack file, and docs/configuration.md."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import yaml

from config.schema import StackConfig

Schema = dict[str, Any]

SCHEMA_FILE = "docs/tailspan.schema.json"
_ROOT = "tailspan:stack"
_INTRODUCTION = f"""\
# Configuration

<!-- Written by `make docs` from the models in config/. -->

A stack is one file, `Pulumi.<stack>.yaml`. All that tailspan reads of it is the mapping `{_ROOT}`, described here, and
keys beside it: the secret `tailspan:tailnetApiKey` (`pulumi config set --secret tailspan:tailnetApiKey`), and for a
control server with a certificate of a private CA `tailspan:tailnetCa` (`pulumi config set tailspan:tailnetCa -- "$(cat
ca.pem)"`). A region at Hyperstack needs the secret `tailspan:hyperstackApiKey`. No secret belongs into the mapping.

An unknown key is an error, and every error of a file comes in one message: the key, what was got, what to write.
Editors with the YAML language server check and complete while you type if the file begins with

```yaml
# yaml-language-server: $schema={SCHEMA_FILE}
```

Whole stacks: [Pulumi.dev.yaml](../Pulumi.dev.yaml), [examples](../examples), and
[unusual ones that are right](../tests/corpus/unusual.yaml) beside
[mistakes and what is said about them](../tests/corpus/broken.yaml).

## Addresses

A region's ranges are written out (`node_cidr`, `pod_cidr`), or come from its `slot`: slot N is range number N of the
length `kubernetes.slots` says in each supernet, so slot 3 stands for 10.0.3.0/24 and 10.131.0.0/16 by default.
Either way they depend on nothing else in the file: adding, removing or reordering regions moves no other one. A slot
number is used again only after the region that had it is gone.

A machine's pods get range number N of `pod_cidr`, where N is the host number of its `node_ip`. Machines route the two
supernets whole to their gateways. What they must reach beside the cluster and lies in a supernet goes under `reserved`,
and the plan will ask for another supernet.

Gateways share their region's ranges and take each other's place by longer prefixes, which need room: with 2, 3 or 4
gateways `node_cidr` is a /28, /26, /24 or larger, and `pod_cidr` a /25, /23, /21. The addresses at which gateways probe
each other lie in pod range number 0, which no machine has; those of four gateways fit into a /27 and not into a /28
(`node_pod_prefix`).

## Packet sizes

A packet between two regions may have as many bytes as the smallest of: `tailnet.mtu`; each side's `wan_mtu` less 80 for
IPv6, UDP and WireGuard; each side's `lan_mtu`, less 50 for VXLAN where the LAN is routed. The smallest of all pairs is
set on every machine's routes and clamps TCP (less 40), because a machine has one route for all regions.
"""


def stack_file_schema() -> Schema:
    """JSON Schema (2020-12) of a whole Pulumi.<stack>.yaml."""
    model = _tidy(StackConfig.model_json_schema())
    definitions = model.pop("$defs")
    definitions["StackConfig"] = model
    secret = {"type": "object", "required": ["secure"], "properties": {"secure": {"type": "string"}}}
    keys: Schema = {
        _ROOT: {"$ref": "#/$defs/StackConfig"},
        "tailspan:tailnetApiKey": {"description": "The tailnet's API key, encrypted by Pulumi.", **secret},
        "tailspan:hyperstackApiKey": {
            "description": "Hyperstack's API key, encrypted by Pulumi; for regions with that provider.",
            **secret,
        },
        "tailspan:tailnetCa": {
            "description": "PEM of the private CA of the control server.",
            "type": "string",
        },
    }
    # Keys of other packages are theirs to check; one of ours that is not listed is misspelt.
    names = {"anyOf": [{"enum": list(keys)}, {"not": {"pattern": "^tailspan:"}}]}
    config = {"type": "object", "required": [_ROOT], "properties": keys, "propertyNames": names}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Pulumi.<stack>.yaml of tailspan",
        "type": "object",
        "required": ["config"],
        "properties": {"config": config},
        "$defs": dict(sorted(definitions.items())),
    }


def schema_text() -> str:
    """The content of the schema's file."""
    return json.dumps(stack_file_schema(), indent=2) + "\n"


def configuration_page() -> str:
    """The content of docs/configuration.md."""
    schema = stack_file_schema()
    return _INTRODUCTION + "\n" + "\n".join(_Page(schema["$defs"]).sections()) + "\n"


def _tidy(value: Any) -> Any:
    """Without what only OpenAPI knows, and with examples as values where the models have them as YAML."""
    if isinstance(value, list):
        return [_tidy(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = {key: _tidy(inner) for key, inner in value.items() if key != "discriminator"}
    if isinstance(found.get("examples"), list):
        found["examples"] = [_example(item) for item in found["examples"]]
    return found


def _example(text: Any) -> Any:
    return yaml.safe_load(text) if isinstance(text, str) and text[:1] in "{['\"" else text


class _Page:
    """The tables of docs/configuration.md: each model once, where it appears first."""

    def __init__(self, models: Schema) -> None:
        self._models = models
        self._seen: set[str] = set()

    def sections(self) -> Iterator[str]:
        yield f"## `{_ROOT}`\n"
        yield from self._table(self._models["StackConfig"]["properties"], self._models["StackConfig"])
        yield from self._below(self._models["StackConfig"]["properties"], "")

    def _below(self, fields: Schema, path: str) -> Iterator[str]:
        for key, field in fields.items():
            names = [name for name in _references(field) if name not in self._seen]
            self._seen.update(names)
            place = f"{path}{key}{'[]' if field.get('type') == 'array' else ''}"
            if names:
                yield from self._section(place, [self._models[name] for name in names])

    def _section(self, place: str, models: list[Schema]) -> Iterator[str]:
        yield f"\n## `{place}`\n"
        if len(models) == 1:
            yield f"{models[0]['description']}\n"
            yield from self._table(models[0]["properties"], models[0])
        else:
            yield from self._kinds(models)
        for model in models:
            yield from self._below(model["properties"], f"{place}.")

    def _kinds(self, models: list[Schema]) -> Iterator[str]:
        """What all kinds have in common, then what each has of its own."""
        first, *others = models
        common = {
            key: field
            for key, field in first["properties"].items()
            if key != "kind" and all(other["properties"].get(key) == field for other in others)
        }
        if common:
            yield "Of every kind:\n"
            yield from self._table(common, first)
        for model in models:
            yield f"\n`kind: {model['properties']['kind']['const']}`: {model['description']}\n"
            own = {key: field for key, field in model["properties"].items() if key not in (*common, "kind")}
            if own:
                yield from self._table(own, model)

    def _table(self, fields: Schema, model: Schema) -> Iterator[str]:
        yield "| key | type | default | meaning | example |"
        yield "|---|---|---|---|---|"
        for key, field in fields.items():
            default = "required" if key in model.get("required", []) else _value(field.get("default"))
            if key in ("node_cidr", "pod_cidr"):
                default = "required without `slot`"
            example = _value(field["examples"][0]) if "examples" in field else ""
            yield f"| `{key}` | {_cell(_type(field))} | {default} | {_cell(field['description'])} | {example} |"


def _references(field: Schema) -> list[str]:
    """The models in a field's schema, in their order."""
    if "$ref" in field:
        return [field["$ref"].rsplit("/", 1)[1]]
    inner = [*field.get("anyOf", []), *field.get("oneOf", [])]
    inner += [field["items"]] if "items" in field else []
    return [name for item in inner for name in _references(item)]


def _type(field: Schema) -> str:
    if _references(field):
        return "list of mappings" if field.get("type") == "array" else "mapping"
    if "enum" in field or "const" in field:
        return " or ".join(str(value) for value in field.get("enum", [field.get("const")]))
    if "items" in field:
        return f"list of {_type(field['items'])}s"
    if field.get("title") == "duration":
        return "duration"
    if "anyOf" in field:
        return next(_type(item) for item in field["anyOf"] if item.get("type") != "null")
    if field.get("type") == "integer" and field.get("title") != "port":
        return _bounds(field)
    named = str(field.get("title", ""))
    # pydantic's own titles are the key's words, capitalised; ours say what is meant.
    return named if named[:1].islower() or named.startswith(("IPv4", "DNS")) else _PLAIN[field["type"]]


_PLAIN = {"string": "text", "number": "number", "boolean": "true or false", "integer": "number"}


def _bounds(field: Schema) -> str:
    low, high = field.get("minimum"), field.get("maximum")
    if low is not None and high is not None:
        return f"{low} to {high}"
    return f"number, {low} or more" if low is not None else "number"


def _value(value: Any) -> str:
    if value in (None, [], ()):
        return "none"
    if isinstance(value, str | int | float):
        return f"`{json.dumps(value) if isinstance(value, bool) else value}`"
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=1000).strip()
    return f"`{_cell(text)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
