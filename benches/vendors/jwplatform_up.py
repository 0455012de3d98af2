"""Uploads one file with the vendor's `jwplatform`: HOST PORT FILE [PART_SIZE]; its own default
without. The client always speaks https to port 443: its connections are led to the sandbox."""
import http.client
import sys

from jwplatform.client import JWPlatformClient

host, port, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
plain = http.client.HTTPConnection
# The client names its argument `host`.
http.client.HTTPSConnection = lambda host, port_=None, **rest: plain(sys.argv[1], port)
sizes = {"target_part_size": int(sys.argv[4])} if len(sys.argv) > 4 else {}
media = JWPlatformClient("sandbox-secret").Media
keys = dict(site_id="Site0001", **sizes)
with open(path, "rb") as file:
    context = media.create_media_and_get_upload_context(
        file, body={"metadata": {"title": "bench"}}, **keys
    )
    media.upload(file, context, **keys)
