"""Copies between buckets of moto, an S3 server that is not ours, and compares with boto3.

    moto_check.py S3BULK

The tests of this repository run against a server of its own, which could share a
misunderstanding of S3 with the program. Neither moto nor boto3 do. The server listens on
127.0.0.1 only and ends with this process, however that ends.
"""

import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

OBJECTS = 200
# Several pages for 200 keys, so that continuation tokens are used.
PAGE = 37
SOURCE, SERVER_DEST, CLIENT_DEST, PLAIN_DEST = "source", "by-server", "by-client", "dry"
CLIENT_PREFIX = "copied/+ here/"
PATIENCE = 120

AWKWARD = [
    *(f"awkward/a{text}b" for text in ["%", "%2F", "%41", "%zz", "+", "%2B", " ", "  ", "?", "#", "&", "=", ";", ":"]),
    *(f"awkward/a{text}b" for text in ["'", '"', "<", ">", "&amp;", "\\", "*", "[", "]", "{", "}", "|", "^", "`"]),
    *(f"awkward/a{text}b" for text in ["@", "$", "!", "(", ")", ",", "~", "?versionId=x", "?tagging"]),
    *(f"awkward/a{text}b" for text in ["\t", "\n", "\r", "\x01", "\x1f", "\x7f", "\x85", "\u202e", "\u2028", "\ufffd"]),
    *("awkward/caf\u00e9", "awkward/cafe\u0301", "awkward/\U0001f980", "awkward/\U0001f468\u200d\U0001f469", "awkward/\u6f22"),
    *("awkward//double", "awkward///triple", "awkward/./dot", "awkward/../up", "awkward/folder/", "awkward/folder//"),
    *("awkward/.", "awkward/..", "/first", "//first", "./first", "../first", " first", "last ", "+", "%", "*"),
]

HEADERS = ["ContentType", "ContentEncoding", "ContentDisposition", "ContentLanguage", "CacheControl", "ExpiresString"]


def serve():
    """Is moto_server, until the standard input ends: also when its parent was killed."""
    from moto.server import main

    def watch():
        sys.stdin.buffer.read()
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()
    main(["-H", "127.0.0.1", "-p", "0"])


def clean_environment(folder):
    """Leaves nothing of the user's AWS configuration."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "MOTO_"))]:
        del os.environ[name]
    os.environ.update(
        AWS_ACCESS_KEY_ID="check",
        AWS_SECRET_ACCESS_KEY="check",
        AWS_DEFAULT_REGION="us-east-1",
        AWS_REGION="us-east-1",
        AWS_EC2_METADATA_DISABLED="true",
        AWS_CONFIG_FILE=str(folder / "no-config"),
        AWS_SHARED_CREDENTIALS_FILE=str(folder / "no-credentials"),
        MOTO_S3_DEFAULT_MAX_KEYS=str(PAGE),
        NO_PROXY="127.0.0.1",
        no_proxy="127.0.0.1",
        XDG_STATE_HOME=str(folder / "state"),
    )


@contextmanager
def moto_server(log):
    """The endpoint of a moto_server on a free port."""
    with open(log, "wb") as out:
        command = [sys.executable, __file__, "--serve"]
        server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT)
    try:
        yield wait_for_endpoint(server, log)
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def wait_for_endpoint(server, log):
    deadline = time.monotonic() + PATIENCE
    while server.poll() is None and time.monotonic() < deadline:
        found = re.search(r"Running on (http://127\.0\.0\.1:\d+)", log.read_text(errors="replace"))
        if found:
            return found[1]
        time.sleep(0.05)
    sys.exit(f"moto_server did not start:\n{log.read_text(errors='replace')}")


def client(endpoint):
    import boto3
    from botocore.config import Config

    config = Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"}, read_timeout=PATIENCE)
    return boto3.client("s3", endpoint_url=endpoint, config=config)


def keys_of(s3, bucket):
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return [item["Key"] for page in pages for item in page.get("Contents", [])]


def why_not(s3, key, bucket):
    """Why moto cannot hold this key, in a bucket made for the question; None if it can."""
    s3.create_bucket(Bucket=bucket)
    try:
        s3.put_object(Bucket=bucket, Key=key, Body=b"body")
        listed = keys_of(s3, bucket)
        if listed != [key]:
            return f"it is listed as {listed!r}"
        if s3.get_object(Bucket=bucket, Key=key)["Body"].read() != b"body":
            return "its body comes back changed"
    except Exception as error:  # Whatever a client meets is the answer to the question.
        return f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"
    return None


def usable_keys(s3):
    """The awkward keys that moto holds, filled up with plain ones."""
    usable = []
    for number, key in enumerate(AWKWARD):
        reason = why_not(s3, key, f"probe-{number}")
        if reason is None:
            usable.append(key)
        else:
            print(f"left out, since moto cannot hold it: {key!r}: {reason}")
    print(f"{len(usable)} of {len(AWKWARD)} awkward keys are used")
    return usable + [f"plain/{number // 10:02}/object-{number:04}" for number in range(OBJECTS - len(usable))]


def make(number, chance):
    """What is put under a key: body, content headers, metadata and tags."""
    size = 3_000_000 if number == 100 else chance.choice([0, 1, 100, 5_000])
    headers = {"ContentType": chance.choice(["text/plain; charset=utf-8", "image/png"])}
    if number % 2:
        headers |= {"CacheControl": f"max-age={number}", "ContentLanguage": "de, en"}
    if number % 3 == 0:
        headers |= {"ContentDisposition": f'attachment; filename="a b {number}.txt"', "ContentEncoding": "br"}
    if number % 5 == 0:
        headers |= {"ExpiresString": "Thu, 01 Jan 2037 12:00:00 GMT"}
    metadata = {"number": str(number), "with-dash": "a=b; c, d  'e' \"f\" %41+"} if number % 4 else {}
    tags = {"number": str(number), "a b+c": "x/y:z@w=_.-", "umlaut": "\u00fc"} if number % 3 else {}
    return {"body": chance.randbytes(size), "headers": headers, "metadata": metadata, "tags": tags}


def put(s3, bucket, key, value):
    from datetime import datetime, timezone

    headers = dict(value["headers"])
    expires = headers.pop("ExpiresString", None)
    if expires:
        headers["Expires"] = datetime.strptime(expires, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=timezone.utc)
    s3.put_object(Bucket=bucket, Key=key, Body=value["body"], Metadata=value["metadata"], **headers)
    if value["tags"]:
        tags = [{"Key": name, "Value": text} for name, text in value["tags"].items()]
        s3.put_object_tagging(Bucket=bucket, Key=key, Tagging={"TagSet": tags})


def read(s3, bucket, key):
    answer = s3.get_object(Bucket=bucket, Key=key)
    return {
        "body": answer["Body"].read(),
        "headers": {name: answer[name] for name in HEADERS if name in answer},
        "metadata": answer["Metadata"],
        "tags": {tag["Key"]: tag["Value"] for tag in s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]},
    }


def same(s3, bucket, prefix, wanted):
    """Compares a bucket with what it should hold, all of it and nothing else."""
    found = keys_of(s3, bucket)
    expected = sorted(prefix + key for key in wanted)
    problems = [f"missing: {key!r}" for key in expected if key not in set(found)]
    problems += [f"not expected: {key!r}" for key in found if key not in set(expected)]
    for key, value in wanted.items():
        if prefix + key not in found:
            continue
        there = read(s3, bucket, prefix + key)
        for part, wants in value.items():
            if there[part] != wants:
                problems.append(f"{key!r} differs in its {part}: {there[part]!r:.200} instead of {wants!r:.200}")
    ensure(not problems, f"{len(problems)} differences:\n    " + "\n    ".join(problems[:20]))


def post(url, value):
    request = urllib.request.Request(url, json.dumps(value).encode(), {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=PATIENCE).read()


def ensure(truth, otherwise):
    if not truth:
        raise AssertionError(otherwise)


class Program:
    """s3bulk, as a user runs it."""

    def __init__(self, path, endpoint):
        self.path, self.flags = path, ["--endpoint-url", endpoint, "--json", "--concurrency", "16"]

    def copy(self, *args, code=0):
        """Runs a copy that should exit with this code, and returns its summary."""
        return self.run("copy", *args, code=code)

    def run(self, verb, *args, code=0):
        """Runs a verb that should exit with this code, and returns its summary."""
        command = [self.path, verb, *self.flags, *args]
        run = subprocess.run(command, capture_output=True, timeout=PATIENCE, stdin=subprocess.DEVNULL)
        said = run.stderr.decode(errors="replace")[-2000:]
        ensure(run.returncode == code, f"exit code {run.returncode} instead of {code}: {said}")
        return json.loads(run.stdout)


class Checks:
    """The checks, in order. Each prints a line and fails for itself."""

    def __init__(self):
        self.passed = self.failed = 0

    def run(self, name, check):
        try:
            check()
        except Exception as error:  # One check that fails must not hide the others.
            self.failed += 1
            print(f"FAILED {name}: {type(error).__name__}: {error}")
        else:
            self.passed += 1
            print(f"ok {name}")


def check_all(s3, program, checks):
    for bucket in [SOURCE, SERVER_DEST, CLIENT_DEST, PLAIN_DEST]:
        s3.create_bucket(Bucket=bucket)
    chance = random.Random(1)
    wanted = {key: make(number, chance) for number, key in enumerate(usable_keys(s3))}
    for key, value in wanted.items():
        put(s3, SOURCE, key, value)

    def copies(dest, way, requests, *args):
        summary = program.copy(*args, f"s3://{SOURCE}/", dest)
        ensure(summary["status"] == "complete", f"status {summary['status']}")
        counts = {name: summary[name] for name in ["listed", "done", "skipped", "failed", "pending"]}
        expected = {"listed": OBJECTS, "done": OBJECTS, "skipped": 0, "failed": 0, "pending": 0}
        ensure(counts == expected, f"the summary says {counts}")
        ensure(summary["bytes"] == sum(len(value["body"]) for value in wanted.values()), "the bytes are not the sum")
        for name, sent in requests.items():
            ensure((summary["requests"].get(name, 0) > 0) == sent, f"{name} {way}: {summary['requests']}")

    def dry_run():
        summary = program.copy("--dry-run", f"s3://{SOURCE}/", f"s3://{PLAIN_DEST}/")
        ensure(summary["listed"] == OBJECTS, f"{summary['listed']} objects listed")
        ensure(keys_of(s3, PLAIN_DEST) == [], "something was written")

    def by_server():
        requests = {"CopyObject": True, "GetObject": False, "PutObject": False}
        copies(f"s3://{SERVER_DEST}/", "by the server", requests)

    def by_client():
        requests = {"CopyObject": False, "GetObject": True, "PutObject": True}
        copies(f"s3://{CLIENT_DEST}/{CLIENT_PREFIX}", "by the client", requests, "--via", "client")

    def in_parts(way, request):
        """A large object that was uploaded in parts of 6 MiB."""
        from boto3.s3.transfer import TransferConfig

        value = make(1, random.Random(2)) | {"body": random.Random(3).randbytes(20_000_000)}
        extra = {"Metadata": value["metadata"], "Tagging": "a=b%20c"} | value["headers"]
        extra.pop("ExpiresString", None)
        parts = TransferConfig(multipart_threshold=6 << 20, multipart_chunksize=6 << 20)
        s3.create_bucket(Bucket=way)
        s3.upload_fileobj(io.BytesIO(value["body"]), SOURCE, "large/object", ExtraArgs=extra, Config=parts)
        args = ["--via", way, "--multipart-threshold", "5MiB", f"s3://{SOURCE}/large/", f"s3://{way}/"]
        summary = program.copy(*args)
        s3_source = read(s3, SOURCE, "large/object")
        ensure(read(s3, way, "object") == s3_source, "it is not like the source")
        ensure(summary["requests"].get(request) == 4, f"not in four parts: {summary['requests']}")
        etags = [s3.head_object(Bucket=bucket, Key=key)["ETag"] for bucket, key in [(SOURCE, "large/object"), (way, "object")]]
        ensure(etags[0] == etags[1], f"the ETags differ: {etags}")
        ensure(not s3.list_multipart_uploads(Bucket=way).get("Uploads"), "an upload is left behind")
        again = program.copy("--skip-existing", *args)
        ensure((again["done"], again["skipped"]) == (0, 1), f"copied again: {again}")
        s3.delete_object(Bucket=SOURCE, Key="large/object")

    def restored():
        """Archived objects, which moto makes readable after they were looked at some times."""
        for bucket in ["frozen", "thawed"]:
            s3.create_bucket(Bucket=bucket)
        for number in range(60):
            storage_class = ["GLACIER", "DEEP_ARCHIVE", "STANDARD"][number % 3]
            s3.put_object(Bucket="frozen", Key=f"k{number}", Body=b"%d" % number, StorageClass=storage_class)
        transition = {"model_name": "s3::keyrestore", "transition": {"progression": "manual", "times": 3}}
        post(s3.meta.endpoint_url + "/moto-api/state-manager/set-transition", transition)
        args = ["--days", "3", "--poll-interval", "500ms", "s3://frozen/"]
        asked = program.run("restore", *args[:2], args[4])
        ensure((asked["done"], asked["skipped"]) == (40, 20), f"asked for: {asked}")
        copied = program.run("restore", *args, "--to", "s3://thawed/")
        ensure((copied["done"], copied["failed"], copied["pending"]) == (60, 0, 0), f"copied: {copied}")
        bodies = {key: s3.get_object(Bucket="thawed", Key=key)["Body"].read() for key in keys_of(s3, "thawed")}
        ensure(bodies == {f"k{number}": b"%d" % number for number in range(60)}, "the copies are others")
        waited = program.run("restore", *args, "--wait")
        ensure((waited["failed"], waited["pending"]) == (0, 0), f"waited: {waited}")

    def unknown(*locations):
        summary = program.copy(*locations, code=10)
        ensure(summary["status"] == "failed" and "no-such-bucket" in summary["error"], f"the summary says {summary}")

    checks.run("moto holds what was put", lambda: same(s3, SOURCE, "", wanted))
    checks.run("a dry run lists everything and writes nothing", dry_run)
    checks.run("a copy by the server ends well", by_server)
    checks.run("a copy by the server is like the source", lambda: same(s3, SERVER_DEST, "", wanted))
    checks.run("a copy through the client ends well", by_client)
    checks.run("a copy through the client is like the source", lambda: same(s3, CLIENT_DEST, CLIENT_PREFIX, wanted))
    checks.run("the server copies in parts", lambda: in_parts("server", "UploadPartCopy"))
    checks.run("a copy in parts through the client", lambda: in_parts("client", "UploadPart"))
    checks.run("archived objects are restored, waited for and copied", restored)
    checks.run("the source is as it was", lambda: same(s3, SOURCE, "", wanted))
    checks.run("an unknown source exits 10", lambda: unknown("s3://no-such-bucket/", f"s3://{PLAIN_DEST}/"))
    checks.run("an unknown destination exits 10", lambda: unknown(f"s3://{SOURCE}/", "s3://no-such-bucket/"))


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    if sys.argv[1] == "--serve":
        return serve()
    sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
    # As an exception, which stops the server on its way out.
    for number in [signal.SIGTERM, signal.SIGHUP]:
        signal.signal(number, lambda *_: sys.exit("ended by a signal"))
    program = str(Path(sys.argv[1]).resolve(strict=True))
    checks = Checks()
    with tempfile.TemporaryDirectory() as folder:
        clean_environment(Path(folder))
        with moto_server(Path(folder) / "moto.log") as endpoint:
            check_all(client(endpoint), Program(program, endpoint), checks)
    print(f"moto: {checks.passed} passed, {checks.failed} failed")
    return sys.exit(checks.failed > 0)


if __name__ == "__main__":
    main()
