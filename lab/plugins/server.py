"""The gRPC side of a stand-in plugin: engine requests in, handlers called, answers out."""

from __future__ import annotations

import difflib
import os
import threading
import traceback
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import grpc
from google.protobuf import any_pb2, empty_pb2, struct_pb2

from lab.plugins.base import (
    Call,
    CheckFailed,
    InitFailed,
    Package,
    PluginError,
    Properties,
    Resource,
    preview_only,
    under,
)
from lab.plugins.diff import changes
from lab.plugins.engine_log import EngineLog
from lab.plugins.protos import plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2
from lab.plugins.rehearsal import refuse_lasting_state
from lab.plugins.schema import Problem, problems
from lab.plugins.values import (
    Secret,
    decode,
    encode,
    has_secret,
    has_unknown,
    marked_like,
    plain,
    secret_texts,
)

MODE_VARIABLE = "TAILSPAN_STANDIN"
# Which verb of the engine runs: a preview, or something that makes things.
VERB_VARIABLE = "TAILSPAN_VERB"
PREVIEWS = ("preview", "preview_destroy")
# A list of more names than this helps nobody.
MANY = 50
NOTHING_HAPPENS = {"offline": "an offline preview", "rehearsal": "a rehearsal"}
# Set by the SDK on every provider; they say which official plugin was meant and are no business of ours.
PROVIDER_META = ("version", "pluginDownloadURL", "__internal")

M = TypeVar("M", bound=Callable[..., Any])


def answered(method: M) -> M:
    """Turn what a handler raises into a gRPC status whose text is the message for the user."""

    @wraps(method)
    def wrapper(self: Servicer, request: Any, context: Any) -> Any:
        try:
            return method(self, request, context)
        except InitFailed as failure:
            code, text = grpc.StatusCode.UNKNOWN, str(failure)
            context.set_trailing_metadata(_kept(failure, request))
        except PluginError as problem:
            code, text = grpc.StatusCode.UNKNOWN, str(problem)
        except Exception as fault:
            where = traceback.extract_tb(fault.__traceback__)[-1]
            code = grpc.StatusCode.INTERNAL
            text = f"fault in the {self.package.name} stand-in ({where.name}, line {where.lineno}): {fault!r}"
        return context.abort(code, self.engine_log.clean(text))

    return wrapper  # type: ignore[return-value]


def _kept(failure: InitFailed, request: Any) -> tuple[tuple[str, bytes], ...]:
    """What the engine needs to keep an object that exists but is not healthy."""
    inputs = request.properties if hasattr(request, "properties") else request.news
    detail = any_pb2.Any()
    properties = encode(marked_like(failure.outputs, decode(inputs)))
    detail.Pack(
        provider_pb2.ErrorResourceInitFailed(
            id=failure.resource_id, properties=properties, reasons=failure.reasons, inputs=inputs
        )
    )
    unknown = grpc.StatusCode.UNKNOWN.value[0]
    status = status_pb2.Status(code=unknown, message=str(failure), details=[detail])
    return (("grpc-status-details-bin", status.SerializeToString()),)


class Servicer(provider_pb2_grpc.ResourceProviderServicer):
    """One provider process. The engine calls it from many threads."""

    def __init__(self, package: Package, log: EngineLog) -> None:
        self.package, self.engine_log = package, log
        self.mode = os.environ.get(MODE_VARIABLE, "")
        self.verb = os.environ.get(VERB_VARIABLE, "")
        self.config: Properties = {}
        self.cancelled = threading.Event()

    # -- the provider itself

    @answered
    def Handshake(self, request: Any, context: Any) -> Any:
        self._refuse_foreign_stacks()
        self.engine_log.connect(request.engine_address)
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True)

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo()

    def Attach(self, request: Any, context: Any) -> Any:
        self.engine_log.connect(request.address)
        return empty_pb2.Empty()

    def GetSchema(self, request: Any, context: Any) -> Any:
        return provider_pb2.GetSchemaResponse(schema="{}")

    @answered
    def CheckConfig(self, request: Any, context: Any) -> Any:
        self._refuse_foreign_stacks()
        news = decode(request.news)
        stated = {key: value for key, value in plain(news).items() if key not in PROVIDER_META}
        failures = _failures(problems(self.package.config, stated))
        return provider_pb2.CheckResponse(inputs=encode(news), failures=failures)

    @answered
    def DiffConfig(self, request: Any, context: Any) -> Any:
        old, new = plain(decode(request.old_inputs)), plain(decode(request.news))
        changed = sorted(key for key in changes(old, new) if key not in PROVIDER_META)
        moved = not has_unknown(new) and self.package.elsewhere(old, new)
        verdict = provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(changes=verdict, diffs=changed, replaces=changed if moved else [])

    @answered
    def Configure(self, request: Any, context: Any) -> Any:
        self._refuse_foreign_stacks()
        self.config = plain(decode(request.args))
        self.engine_log.hide(secret_texts(decode(request.args)))
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    def Cancel(self, request: Any, context: Any) -> Any:
        self.cancelled.set()
        return empty_pb2.Empty()

    @answered
    def Invoke(self, request: Any, context: Any) -> Any:
        function = self.package.functions.get(request.tok)
        if function is None:
            raise PluginError(self._unknown("function", request.tok, self.package.functions))
        call = self._call(f"::{request.tok}", preview=request.preview, offline=self.mode != "lab")
        result = function(call, plain(decode(request.args)))
        return provider_pb2.InvokeResponse(**{"return": encode(result)})

    # -- resources

    @answered
    def Check(self, request: Any, context: Any) -> Any:
        resource, news = self._resource(request.urn), decode(request.news)
        self.engine_log.hide(secret_texts(news))
        inputs = plain(news)
        found = list(problems(resource.schema, inputs))
        if not found:
            try:
                call = self._call(request.urn, seed=request.randomSeed)
                inputs = resource.check(call, inputs, plain(decode(request.olds)))
            except CheckFailed as problem:
                found.append(Problem(problem.path, problem.reason))
        return provider_pb2.CheckResponse(inputs=encode(marked_like(inputs, news)), failures=_failures(found))

    @answered
    def Diff(self, request: Any, context: Any) -> Any:
        resource = self._resource(request.urn)
        old, new = plain(decode(request.old_inputs)), plain(decode(request.news))
        changed = {
            path: kind
            for path, kind in changes(old, new).items()
            if not any(under(path, ignored) for ignored in request.ignoreChanges)
        }
        changed |= {path: "update" for path in resource.unfinished(plain(decode(request.olds)))}
        replaces = resource.replaces(set(changed), old, new)
        kinds = {path: f"{kind}_replace" if path in replaces else kind for path, kind in changed.items()}
        detailed = {
            path: provider_pb2.PropertyDiff(
                kind=provider_pb2.PropertyDiff.Kind.Value(kind.upper()), inputDiff=True
            )
            for path, kind in kinds.items()
        }
        verdict = provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(
            changes=verdict,
            diffs=sorted({path.split(".")[0].split("[")[0] for path in changed}),
            replaces=sorted(replaces),
            deleteBeforeReplace=bool(replaces) and resource.deletes_first(old, new),
            detailedDiff=detailed,
            hasDetailedDiff=True,
        )

    @answered
    def Create(self, request: Any, context: Any) -> Any:
        resource, marked = self._resource(request.urn), decode(request.properties)
        inputs = plain(marked)
        if request.preview:
            outputs = self._outputs(resource, resource.planned(inputs, {}), marked)
            return provider_pb2.CreateResponse(id="", properties=outputs)
        if self.mode == "rehearsal":
            resource_id, created = resource.rehearse(self._call(request.urn), inputs)
        else:
            resource_id, created = resource.create(self._working_call(request, marked), inputs)
        return provider_pb2.CreateResponse(
            id=resource_id, properties=self._outputs(resource, created, marked)
        )

    @answered
    def Update(self, request: Any, context: Any) -> Any:
        resource, marked = self._resource(request.urn), decode(request.news)
        inputs, old = plain(marked), plain(decode(request.olds))
        if request.preview:
            outputs = self._outputs(resource, resource.planned(inputs, old), marked)
            return provider_pb2.UpdateResponse(properties=outputs)
        call = self._working_call(request, marked)
        updated = resource.update(call, request.id, inputs, old)
        return provider_pb2.UpdateResponse(properties=self._outputs(resource, updated, marked))

    @answered
    def Read(self, request: Any, context: Any) -> Any:
        resource, marked = self._resource(request.urn), decode(request.inputs)
        if self.mode != "lab":
            # Nothing to ask: an offline preview believes the state.
            stated = decode(request.properties)
            external = not request.inputs.fields
            believed = encode(resource.believed(self._call(request.urn), stated, external=external))
            return provider_pb2.ReadResponse(id=request.id, properties=believed, inputs=request.inputs)
        call = self._working_call(request, marked)
        found = resource.read(call, request.id, plain(marked), plain(decode(request.properties)))
        if found is None:
            return provider_pb2.ReadResponse(id="")
        inputs, outputs = found
        return provider_pb2.ReadResponse(
            id=request.id,
            properties=self._outputs(resource, outputs, marked),
            inputs=encode(marked_like(inputs, marked)),
        )

    @answered
    def Delete(self, request: Any, context: Any) -> Any:
        resource, marked = self._resource(request.urn), decode(request.old_inputs)
        call = self._working_call(request, marked)
        resource.delete(call, request.id, plain(marked), plain(decode(request.properties)))
        return empty_pb2.Empty()

    # -- helpers

    def _refuse_foreign_stacks(self) -> None:
        if self.mode == "rehearsal":
            refuse_lasting_state(os.environ.get("PULUMI_BACKEND_URL", ""))
        elif self.mode not in ("lab", "offline"):
            raise PluginError(
                f"pulumi-resource-{self.package.name} on PATH is tailspan's stand-in. It serves the lab and "
                f"offline previews only, and this stack is neither. Remove lab/plugins/bin from PATH, or set "
                f"PULUMI_IGNORE_AMBIENT_PLUGINS=1, so that the engine uses the official plugin."
            )
        elif self.mode == "lab" and self.package.preview_only and self.verb not in PREVIEWS:
            raise preview_only(self.package.name)

    def _resource(self, urn: str) -> Resource:
        token = urn.split("::")[2].rsplit("$", 1)[-1]
        resource = self.package.resources.get(token)
        if resource is None:
            raise PluginError(self._unknown("resource type", token, self.package.resources))
        return resource

    def _unknown(self, what: str, token: str, known: Any) -> str:
        if len(known) > MANY:
            near = difflib.get_close_matches(token, known, n=3)
            said = f"Did you mean {' or '.join(near)}?" if near else f"None of the {len(known)} is like it."
        else:
            said = f"It knows: {', '.join(sorted(known)) or 'none'}."
        return f"The lab's stand-in for the {self.package.name} plugin has no {what} {token}. {said}"

    def _working_call(self, request: Any, marked: Properties) -> Call:
        """A call that may change the world; only the lab ever gets one."""
        if self.mode != "lab":
            raise PluginError(f"this is {NOTHING_HAPPENS[self.mode]}, nothing may be changed. Run `make up`.")
        self.engine_log.hide(secret_texts(marked))
        return self._call(request.urn, timeout=request.timeout)

    def _call(
        self,
        urn: str,
        *,
        preview: bool = False,
        offline: bool = False,
        timeout: float = 0.0,
        seed: bytes = b"",
    ) -> Call:
        return Call(
            urn=urn,
            config=self.config,
            log=self.engine_log.to(urn),
            cancelled=self.cancelled,
            preview=preview,
            offline=offline,
            rehearsal=self.mode == "rehearsal",
            timeout=timeout,
            seed=seed,
        )

    def _outputs(self, resource: Resource, outputs: Properties, inputs: Properties) -> struct_pb2.Struct:
        marked = marked_like(outputs, inputs)
        repeats = resource.computed_repeats_inputs and has_secret(inputs)
        for name in resource.secret_outputs | (set(resource.computed) if repeats else set()):
            if name in marked and not isinstance(marked[name], Secret):
                marked[name] = Secret(marked[name])
        return encode(marked)


def _failures(found: Any) -> list[Any]:
    """The path stands in the reason: the engine shows the value of a named property, secret or not."""
    texts = [f"{problem.path} {problem.reason}" if problem.path else problem.reason for problem in found]
    return [provider_pb2.CheckFailure(reason=text) for text in texts]
