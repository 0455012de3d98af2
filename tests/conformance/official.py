"""Uploads with the vendors' own clients to the sandbox and holds its report against the files.

official.py URL WORK NODE_SCRIPT [NODE_PACKAGES]
"""

import hashlib
import http.client
import io
import json
import logging
import os
import random
import subprocess
import sys
import time
import traceback
import urllib.request
from urllib.parse import urlparse

MIB = 1024 * 1024
SITE, SECRET, KEY = "Site0001", "sandbox-secret", "sandbox-key"

url, work, node_script = sys.argv[1:4]
node_packages = sys.argv[4] if len(sys.argv) > 4 else ""
address = urlparse(url)
logging.disable(logging.CRITICAL)

# jwplatform always speaks HTTPS to a host without a port: its connections are led to the sandbox.
# What they say stays as the client wrote it.
plain = http.client.HTTPConnection
http.client.HTTPSConnection = lambda host, port=None, **_: plain(address.hostname, address.port)

import jwplatform.upload  # noqa: E402
from jwplatform.client import JWPlatformClient  # noqa: E402
from jwplatform.errors import APIError  # noqa: E402
import apivideo  # noqa: E402
from apivideo.apis import UploadTokensApi, VideosApi  # noqa: E402
from apivideo.configuration import Configuration  # noqa: E402


def ask(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data, method=method)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def make(name, size):
    """A file of random bytes, the same ones in every run."""
    path = os.path.join(work, name)
    with open(path, "wb") as file:
        file.write(random.Random(name).randbytes(size))
    return path


def chunk(file, size):
    """The next bytes of a file as a file of their own, which the client wants to have a name."""
    out = io.BytesIO(file.read(size))
    out.name = file.name
    return out


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def received(**wanted):
    """The one media object of the report with these values."""
    found = [
        media
        for media in ask("GET", "/_sandbox/report")["media"]
        if all(media[key] == value for key, value in wanted.items())
    ]
    assert len(found) == 1, f"{len(found)} media objects with {wanted}"
    return found[0]


def holds(media, path, parts):
    assert media["complete"], media["state"]
    assert media["size"] == os.path.getsize(path), (media["size"], os.path.getsize(path))
    assert media["sha256"] == sha256(path), "the SHA-256 differs"
    assert len(media["parts"]) == parts, f"{len(media['parts'])} parts, not {parts}"
    assert all(part["acknowledged"] == 1 for part in media["parts"]), media["parts"]


def jw_upload(title, path, **more):
    options = dict(site_id=SITE, target_part_size=5 * MIB, retry_count=3) | more
    media = JWPlatformClient(SECRET).Media
    with open(path, "rb") as file:
        body = {"metadata": {"title": title}}
        context = media.create_media_and_get_upload_context(file, body=body, **options)
        media.upload(file, context, **options)


def jwplayer_direct():
    path = make("direct.mp4", 3 * MIB + 17)
    jw_upload("direct", path)
    holds(received(title="direct"), path, 1)


def jwplayer_multipart():
    path = make("multipart.mp4", 23 * MIB + 1)
    jw_upload("multipart", path)
    holds(received(title="multipart"), path, 5)


def jwplayer_broken_then_resumed():
    path = make("resumed.mp4", 21 * MIB)
    options = dict(site_id=SITE, target_part_size=5 * MIB, retry_count=2)
    ask("DELETE", "/_sandbox/faults")
    ask("POST", "/_sandbox/faults", [
        {"fault": "reset", "on": "part", "part": 3, "file": "resumed", "times": 1},
        {"fault": "error-before", "on": "part", "part": 3, "file": "resumed", "times": 1},
    ])
    media = JWPlatformClient(SECRET).Media
    with open(path, "rb") as file:
        body = {"metadata": {"title": "resumed"}}
        context = media.create_media_and_get_upload_context(file, body=body, **options)
        try:
            media.upload(file, context, **options)
            raise AssertionError("the broken upload succeeded")
        except jwplatform.upload.MaxRetriesExceededError:
            pass
        assert not received(title="resumed")["complete"]
        media.resume(file, context, **options)
    met = ask("GET", "/_sandbox/faults")["met"]
    assert met == {"reset": 1, "error-before": 1}, met
    whole = received(title="resumed")
    holds(whole, path, 5)
    assert [part["resent"] for part in whole["parts"]] == [0] * 5, "a part was sent again"


def jwplayer_wrong_etag_is_noticed():
    path = make("corrupt.mp4", 11 * MIB)
    ask("POST", "/_sandbox/faults", [{"fault": "wrong-etag", "part": 2, "file": "corrupt"}])
    jw_upload("corrupt", path)
    whole = received(title="corrupt")
    assert whole["sha256"] == sha256(path), "the SHA-256 differs"
    assert [part["acknowledged"] for part in whole["parts"]] == [1, 2, 1], whole["parts"]


def jwplayer_status_and_delete():
    media = JWPlatformClient(SECRET).Media
    id = received(title="direct")["id"]
    deadline = time.monotonic() + 60
    while media.get(site_id=SITE, media_id=id).json_body["status"] != "ready":
        assert time.monotonic() < deadline, "it never becomes ready"
        time.sleep(0.1)
    query = {"q": f'id: "{id}"', "page_length": 5}
    listed = media.list(site_id=SITE, query_params=query)
    assert [one["id"] for one in listed.json_body["media"]] == [id], listed.json_body
    media.delete(site_id=SITE, media_id=id)
    assert received(title="direct")["state"] == "deleted"


def jwplayer_bad_secret_is_refused():
    try:
        JWPlatformClient("wrong").Media.list(site_id=SITE)
    except APIError as error:
        assert type(error).__name__ == "UnauthorizedError", type(error)
    else:
        raise AssertionError("a wrong secret was accepted")


def api_client():
    client = apivideo.AuthenticatedApiClient(
        KEY, configuration=Configuration(chunk_size=5 * MIB)
    )
    client.configuration.host = url
    client.connect()
    return client


def apivideo_upload(name, size, parts):
    path = make(name, size)
    client = api_client()
    videos = VideosApi(client)
    video = videos.create({"title": name, "metadata": [{"key": "k", "value": name}]})
    with open(path, "rb") as file:
        videos.upload(video["video_id"], file)
    holds(received(id=video["video_id"]), path, parts)
    client.refresh_token()
    found = videos.list(metadata={"k": name})
    assert [one["video_id"] for one in found["data"]] == [video["video_id"]], found
    deadline = time.monotonic() + 60
    while not videos.get_status(video["video_id"])["encoding"]["playable"]:
        assert time.monotonic() < deadline, "it never becomes playable"
        time.sleep(0.1)
    return client, video["video_id"]


def apivideo_single():
    client, id = apivideo_upload("single.mp4", 4 * MIB + 3, 1)
    VideosApi(client).delete(id)
    assert received(id=id)["state"] == "deleted"


def apivideo_chunks():
    apivideo_upload("chunks.mp4", 17 * MIB + 5, 4)


def apivideo_upload_token():
    path = make("token.mp4", 12 * MIB)
    client = api_client()
    token = UploadTokensApi(client).create_token({"ttl": 0})["token"]
    # Its upload in one call never tells the later chunks which video they belong to; its session does.
    session = VideosApi(client).create_upload_with_upload_token_progressive_session(token)
    with open(path, "rb") as file:
        session.uploadPart(chunk(file, 5 * MIB))
        session.uploadPart(chunk(file, 5 * MIB))
        video = session.uploadLastPart(chunk(file, 5 * MIB))
    holds(received(id=video["video_id"]), path, 3)


def apivideo_node(name, size, parts):
    path = make(name, size)
    done = subprocess.run(
        ["node", node_script, node_packages, url, KEY, path, str(5 * MIB), name],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    holds(received(id=done.stdout.split()[-1]), path, parts)


def apivideo_node_single():
    apivideo_node("node-single.mp4", 2 * MIB, 1)


def apivideo_node_chunks():
    apivideo_node("node-chunks.mp4", 16 * MIB + 1, 4)


def no_secret_is_told():
    report = json.dumps(ask("GET", "/_sandbox/report"))
    for secret in (SECRET, KEY, "Signature=", "upload_token"):
        assert secret not in report, f"the report tells {secret}"


checks = [
    jwplayer_direct,
    jwplayer_multipart,
    jwplayer_broken_then_resumed,
    jwplayer_wrong_etag_is_noticed,
    jwplayer_status_and_delete,
    jwplayer_bad_secret_is_refused,
    apivideo_single,
    apivideo_chunks,
    apivideo_upload_token,
]
if node_packages:
    checks += [apivideo_node_single, apivideo_node_chunks]
else:
    print("skipped: api.video's Node client (node or npm is missing)")
checks += [no_secret_is_told]

failed = 0
for check in checks:
    try:
        check()
        print(f"ok      {check.__name__}")
    except Exception:
        failed += 1
        print(f"FAILED  {check.__name__}")
        traceback.print_exc(file=sys.stdout)
print(f"{len(checks) - failed} passed, {failed} failed")
sys.exit(1 if failed else 0)
