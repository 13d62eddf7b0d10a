// Run SDKs over the scripted days, and write what each sent: `node record.mjs FOLDER [SDK …]`.
import { mkdir, writeFile } from "node:fs/promises";
import { DAYS } from "./days.mjs";
import { Browser, unwrapped } from "./page.mjs";
import { NAMES, sdk } from "./sdks.mjs";
import { tabs } from "./tabs.mjs";

// A minute after the last step: all that is queued is sent.
const END = 60_000;

async function bodies(tracker, steps, seed) {
  const browser = new Browser(tracker, seed);
  for (const [at, action, ...args] of steps) {
    if (browser.window) await browser.until(at);
    if (action === "load") await browser.load(at, ...args);
    else await browser.call(action, ...args);
  }
  await browser.clock.tickAsync(END);
  browser.close();
  return browser.bodies;
}

const versions = {};
const [folder, ...named] = process.argv.slice(2);
await mkdir(folder, { recursive: true });
for (const name of named.length ? named : NAMES) {
  const tracker = await sdk(name);
  versions[name] = tracker.version;
  const written = async (day, sent) => {
    await writeFile(`${folder}/${name}.${day}.ndjson`, sent.map((body) => body + "\n").join(""));
    process.stdout.write(`${name} ${day}: ${sent.length} bodies, ${tracker.version}\n`);
  };
  await written("tabs", await tabs(tracker, unwrapped));
  for (const [day, devices] of Object.entries(DAYS)) {
    const sent = [];
    for (const [place, steps] of devices.entries()) sent.push(...(await bodies(tracker, steps, place + 1)));
    await written(day, sent);
  }
}
await writeFile(`${folder}/versions.json`, JSON.stringify(versions, null, 1) + "\n");
process.exit(0); // an SDK's timers would keep it running
