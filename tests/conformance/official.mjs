// Uploads one file with api.video's Node client: official.mjs PACKAGES URL KEY FILE CHUNK TITLE;
// prints the video's id.
import { createRequire } from 'node:module';

const [packages, baseUri, apiKey, file, chunk, title] = process.argv.slice(2);
const require = createRequire(`${packages}/`);
const ApiVideoClient = require('@api.video/nodejs-client');

const client = new ApiVideoClient({ apiKey, baseUri, chunkSize: Number(chunk) });
const video = await client.videos.create({ title });
await client.videos.upload(video.videoId, file);
const status = await client.videos.getStatus(video.videoId);
if (status.ingest.status === 'uploading') {
  throw new Error('all is sent, and the video still says uploading');
}
console.log(video.videoId);
