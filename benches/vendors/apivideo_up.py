"""Uploads one file with the vendor's `api.video`: HOST PORT FILE [CHUNK_SIZE]; its own default
without."""
import sys

import apivideo
from apivideo.apis import VideosApi
from apivideo.configuration import Configuration

sizes = {"chunk_size": int(sys.argv[4])} if len(sys.argv) > 4 else {}
client = apivideo.AuthenticatedApiClient("sandbox-key", configuration=Configuration(**sizes))
client.configuration.host = f"http://{sys.argv[1]}:{sys.argv[2]}"
client.connect()
videos = VideosApi(client)
video = videos.create({"title": "bench"})
with open(sys.argv[3], "rb") as file:
    videos.upload(video["video_id"], file)
