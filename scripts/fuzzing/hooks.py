"""What scripts/fuzz adds to schemathesis: a strict reading of the document, and things for requests to be about.

Requests with made-up ids find nothing. So a few platforms are made first, with something of every kind in each, and
most of the requests that keep to the document get the ids of one of them. Which one depends on the request alone: the
same request is always about the same thing, so that what was found can be found again.
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
# What requests that change and read are about, and what those that end something are about.
LASTING, SCRAP = 4, 12
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
    """One platform as onboarding makes it: with builds, jobs and resources."""
    started = call("POST", "/api/v1/onboarding", {"platformName": "Fuzz", "slug": "onboarded", "tier": "starter"})
    at = f"/api/v1/onboarding/{started['onboardingId']}"
    for _ in range(300):
        session = call("GET", at)
        if session["status"] != "in_progress":
            break
        time.sleep(0.1)
    build = call("GET", f"/api/v1/platforms/{session['platformId']}/builds")["data"][0]
    return {
        "platformId": session["platformId"],
        "onboardingId": session["id"],
        "jobId": session["provisionJobId"],
        "buildId": build["id"],
    }


def world(number):
    """A platform with something of every kind, by the names that paths and bodies have for them."""
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
    call("POST", "/api/v1/stacks", {"name": slug, "displayName": slug, "description": "Made to be tried"})
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
WORLDS = [world(number) for number in range(LASTING + SCRAP)]


def ends_something(case):
    body = case.body if isinstance(case.body, dict) else {}
    return case.method == "DELETE" or case.path.endswith(ENDINGS) or body.get("status") in ("deleted", "suspended")


@schemathesis.hook
def before_load_schema(context, schema):
    """Without the status that stands for all others: what an operation sends is told by name."""
    for item in schema["paths"].values():
        for operation in item.values():
            operation["responses"].pop("default", None)


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.meta is None or case.meta.generation.mode.name != "POSITIVE":
        return
    told = json.dumps([case.method, case.path, case.path_parameters, case.query, case.body], sort_keys=True, default=str)
    number = zlib.crc32(told.encode())
    chosen = WORLDS[LASTING + number % SCRAP] if ends_something(case) else WORLDS[number % LASTING]
    number //= LASTING * SCRAP
    if any(part in case.path for part in ("/builds", "{jobId}", "{onboardingId}")):
        chosen = ONBOARDED
    elif case.method == "DELETE" and case.path.endswith("{entityId}"):
        chosen = {**chosen, "entityId": chosen["leafId"]}
    # One in eight keeps what was made up for it, ids that name nothing among them.
    if number % 8 == 0:
        return
    # Of an action, whether it is about a platform or an entity follows: the schema cannot say so.
    if case.path.endswith("/can") and isinstance(case.body, dict) and number % 3:
        case.body["checks"] = [{"action": "getPlatform", "platformId": chosen["platformId"]}]
    for place in (case.path_parameters, case.query, case.body):
        if isinstance(place, dict):
            # A new template has a name of its own.
            known = {name: value for name, value in chosen.items() if name in place}
            if place is case.body:
                known.pop("name", None)
                known.pop("version", None)
                known.pop("cfName", None)
            place.update(known)
    # Made-up tags never match; with them nothing would ever be written.
    if number % 5 and case.headers:
        case.headers.pop("If-Match", None)


ANSWERS = collections.defaultdict(collections.Counter)


@schemathesis.hook
def after_call(context, case, response):
    ANSWERS[f"{case.operation.method.upper()} {case.operation.path}"][response.status_code] += 1


@atexit.register
def say_how_deep_it_went():
    """An operation that only ever refused was hardly tried."""
    if os.environ.get("NNO_FUZZ_VERBOSE"):
        for name, answers in sorted(ANSWERS.items()):
            print(name, *(f"{status}: {count}" for status, count in sorted(answers.items())), sep="  ")
    refused = sorted(name for name, answers in ANSWERS.items() if min(answers) >= 300)
    total = sum(answers.total() for answers in ANSWERS.values())
    print(f"{total} requests; operations that refused all of theirs: {', '.join(refused) or 'none'}")
