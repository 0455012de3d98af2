// Uploads one file with the vendor's `@api.video/nodejs-client`: HOST PORT FILE [CHUNK_SIZE]; its own
// default without. NODE_PATH says where the client is.
const ApiVideo = require("@api.video/nodejs-client");
const [host, port, path, chunk] = process.argv.slice(2);
const Client = ApiVideo.default ?? ApiVideo;
const options = { apiKey: "sandbox-key", baseUri: `http://${host}:${port}` };
if (chunk) options.chunkSize = Number(chunk);
(async () => {
  const client = new Client(options);
  const video = await client.videos.create({ title: "bench" });
  await client.videos.upload(video.videoId, path);
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
