"""Hooks for schemathesis: strict checks of responses, and objects for the requests to use.

Requests with generated ids find nothing. The hooks therefore create a few platforms with one object of every type, and
most valid requests get the ids of one of them. The request alone determines which, so a finding can be reproduced.
"""

import atexit
import collections
import json
import os
import time
import urllib.error
import urllib.request
import zlib

import schemathesis

URL = os.environ["FUZZ_URL"]
KEY = os.environ["FUZZ_KEY"]
# Numbers of platforms for requests that read and change, and for requests that delete or suspend.
LASTING, DISPOSABLE = 4, 12
ENDINGS = ("/suspend", "/cancel", "/delete", "/deprovision")
DEFINITION = {"schemaVersion": 1, "displayName": "Kit", "features": [], "resources": dict.fromkeys(("d1", "r2", "kv", "queue"), True)}


def call(method, path, body=None):
    request = urllib.request.Request(
        URL + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as refusal:
        raise SystemExit(f"{method} {path}: {refusal.code} {refusal.read().decode()}") from None


def onboarded():
    """Onboards one platform, with builds, jobs and resources."""
    started = call("POST", "/api/v1/onboarding", {"platformName": "Fuzz", "slug": "onboarded", "tier": "starter"})
    at = f"/api/v1/onboarding/{started['onboardingId']}"
    for _ in range(300):
        onboarding = call("GET", at)
        if onboarding["status"] != "in_progress":
            break
        time.sleep(0.1)
    build = call("GET", f"/api/v1/platforms/{onboarding['platformId']}/builds")["data"][0]
    return {
        "platformId": onboarding["platformId"],
        "onboardingId": onboarding["id"],
        "jobId": onboarding["provisionJobId"],
        "buildId": build["id"],
    }


def world(number):
    """Creates a platform with one object of every type; returns their ids by the names in paths and bodies."""
    slug = f"fuzz-{number}"
    platform = call("POST", "/api/v1/platforms", {"name": slug, "slug": slug})["id"]
    base = f"/api/v1/platforms/{platform}"
    tenant = call("POST", f"{base}/entities", {"type": "tenant", "name": "T", "slug": "t"})["id"]
    leaf = {"type": "subtenant", "name": "L", "slug": "l", "parentId": tenant}
    leaf = call("POST", f"{base}/entities", leaf)["id"]
    stack = call("POST", f"{base}/stacks", {"tenantId": tenant, "name": "own"})["id"]
    resource = {
        "stackId": stack,
        "resourceType": "worker",
        "serviceName": "shop",
        "environment": "prod",
        "cfName": f"{platform}-{stack}-shop",
    }
    resource = call("POST", f"{base}/entities/{tenant}/resources", resource)["id"]
    record = {
        "hostname": f"shop.{slug}.example",
        "targetType": "worker",
        "resourceId": resource,
        "environment": "prod",
    }
    record = call("POST", f"{base}/stacks/{stack}/dns", record)["id"]
    target = f"shop.svc.default.{platform}.nno.localhost"
    domain = {"dnsRecordId": record, "hostname": f"shop.{slug}.test", "targetDns": target}
    domain = call("POST", f"{base}/domains", domain)["id"]
    feature = {"featureId": "billing", "version": "1.0.0", "environment": "prod"}
    call("POST", f"{base}/entities/{tenant}/features/activate", feature)
    call("POST", f"{base}/resources/{resource}/secrets/TOKEN", {"status": "set"})
    call("POST", "/api/v1/stacks", {"name": slug, "displayName": slug, "description": "For fuzzing"})
    version = {"version": "1.0.0", "nnoSdkVersion": "1.0.0", "stackDefinition": DEFINITION}
    call("POST", f"/api/v1/stacks/{slug}/versions", version)
    granted = {"role": "viewer", "platformId": platform}
    binding = call("POST", "/api/v1/iam/bindings", {"subject": f"person-{number}", **granted})["id"]
    key = call("POST", "/api/v1/iam/keys", {"name": slug, **granted})["id"]
    return {
        "bindingId": binding,
        "keyId": key,
        "platformId": platform,
        "entityId": tenant,
        "tenantId": tenant,
        "leafId": leaf,
        "stackId": stack,
        "resourceId": resource,
        "dnsId": record,
        "dnsRecordId": record,
        "domainId": domain,
        "targetDns": target,
        "featureId": "billing",
        "secretName": "TOKEN",
        "name": slug,
        "templateId": slug,
        "version": "1.0.0",
        "cfName": f"{platform}-{stack}-shop",
    }


ONBOARDED = onboarded()
WORLDS = [world(number) for number in range(LASTING + DISPOSABLE)]


def is_destructive(case):
    body = case.body if isinstance(case.body, dict) else {}
    return case.method == "DELETE" or case.path.endswith(ENDINGS) or body.get("status") in ("deleted", "suspended")


@schemathesis.hook
def before_load_schema(context, schema):
    """Removes the default response, so that every status must be documented by name."""
    for item in schema["paths"].values():
        for operation in item.values():
            operation["responses"].pop("default", None)


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.meta is None or case.meta.generation.mode.name != "POSITIVE":
        return
    text = json.dumps([case.method, case.path, case.path_parameters, case.query, case.body], sort_keys=True, default=str)
    number = zlib.crc32(text.encode())
    chosen = WORLDS[LASTING + number % DISPOSABLE] if is_destructive(case) else WORLDS[number % LASTING]
    number //= LASTING * DISPOSABLE
    if any(part in case.path for part in ("/builds", "{jobId}", "{onboardingId}")):
        chosen = ONBOARDED
    elif case.method == "DELETE" and case.path.endswith("{entityId}"):
        chosen = {**chosen, "entityId": chosen["leafId"]}
    # One request in eight keeps its generated values, including ids that name nothing.
    if number % 8 == 0:
        return
    # The action determines whether a check needs a platform or an entity. The schema cannot express that.
    if case.path.endswith("/can") and isinstance(case.body, dict) and number % 3:
        case.body["checks"] = [{"action": "getPlatform", "platformId": chosen["platformId"]}]
    for part in (case.path_parameters, case.query, case.body):
        if isinstance(part, dict):
            # A new object needs its own name.
            known = {name: value for name, value in chosen.items() if name in part}
            if part is case.body:
                known.pop("name", None)
                known.pop("version", None)
                known.pop("cfName", None)
            part.update(known)
    # Generated tags never match, so with them no request would write anything.
    if number % 5 and case.headers:
        case.headers.pop("If-Match", None)


ANSWERS = collections.defaultdict(collections.Counter)


@schemathesis.hook
def after_call(context, case, response):
    ANSWERS[f"{case.operation.method.upper()} {case.operation.path}"][response.status_code] += 1


@atexit.register
def print_summary():
    """Prints the operations that rejected every request: they were hardly tested."""
    if os.environ.get("NNO_FUZZ_VERBOSE"):
        for name, answers in sorted(ANSWERS.items()):
            print(name, *(f"{status}: {count}" for status, count in sorted(answers.items())), sep="  ")
    rejected = sorted(name for name, answers in ANSWERS.items() if min(answers) >= 300)
    total = sum(answers.total() for answers in ANSWERS.values())
    print(f"{total} requests; operations that rejected all of theirs: {', '.join(rejected) or 'none'}")
