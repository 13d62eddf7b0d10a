// One run of one SDK: `node clients.mjs SDK PORT MODE`. Sends three events, and in the mode `ok` awkward values.
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const [name, port, mode] = process.argv.slice(2);
const host = `http://127.0.0.1:${port}`;
const user = "ann";
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
// What servers have of awkward values, and what alone makes a body no JSON in other languages.
const VALUES = {
  beyond_doubles: 9007199254740993, digits: 123456789012345678901234, float: 0.1,
  nested: { at: new Date(Date.UTC(2026, 0, 2, 3, 4, 5, 678)), list: [new Date(0)] }, nothing: undefined, text: "ü\u2028",
};
const NOT_A_NUMBER = { nan: NaN, infinite: Infinity };
const steps = [
  ...[1, 2, 3].map((number) => [`${mode} ${number}`, {}]),
  ...(mode === "ok" ? [["values", { values: VALUES }], ["nan", { values: NOT_A_NUMBER }]] : []),
];

const SDKS = {
  async segment_node() {
    const { Analytics } = require("@segment/analytics-node");
    const client = new Analytics({ writeKey: "key", host, flushAt: 3, flushInterval: 200, maxRetries: 3, httpRequestTimeout: 1000 });
    for (const [event, properties] of steps) client.track({ userId: user, event, properties });
    await client.closeAndFlush({ timeout: 15_000 });
  },
  async rudderstack_node() {
    const module = require("@rudderstack/rudder-sdk-node");
    const client = new (module.default ?? module)("key", { dataPlaneUrl: host, flushAt: 3, flushInterval: 200 });
    for (const [event, properties] of steps) client.track({ userId: user, event, properties });
    for (let tries = 0; tries < 3; tries++) {
      await pause(1_500);
      await client.flush().catch(() => {});
    }
  },
  async posthog_node() {
    const { PostHog } = require("posthog-node");
    const client = new PostHog("key", { host, flushAt: 3, flushInterval: 200, requestTimeout: 1000, fetchRetryDelay: 300 });
    for (const [event, properties] of steps) client.capture({ distinctId: user, event, properties });
    await client.shutdown(15_000);
  },
  async amplitude_node() {
    const amplitude = require("@amplitude/analytics-node");
    await amplitude.init("key", { serverUrl: `${host}/2/httpapi`, flushQueueSize: 3, flushIntervalMillis: 200 }).promise;
    for (const [event, properties] of steps) amplitude.track(event, properties, { user_id: user });
    for (let tries = 0; tries < 3; tries++) {
      await pause(1_500);
      await amplitude.flush().promise;
    }
  },
  async mixpanel_node() {
    const client = require("mixpanel").init("key", { host: `127.0.0.1:${port}`, protocol: "http" });
    const events = steps.map(([event, properties]) => ({ event, properties: { ...properties, distinct_id: user, time: new Date() } }));
    await new Promise((done) => client.track_batch(events, { max_batch_size: 3 }, () => done()));
    await pause(1_500);
  },
  async snowplow_node() {
    const { buildStructEvent, newTracker } = require("@snowplow/node-tracker");
    const tracker = newTracker(
      { namespace: "sp", appId: "shop", encodeBase64: false },
      { endpoint: "127.0.0.1", port, protocol: "http", eventMethod: "post", bufferSize: 3, connectionTimeout: 1000 },
    );
    tracker.setUserId(user);
    for (const [label] of steps.slice(0, 3)) tracker.track(buildStructEvent({ category: "shop", action: label }));
    for (let tries = 0; tries < 3; tries++) {
      await pause(1_500);
      tracker.flush();
    }
  },
  async countly_node() {
    const countly = require("countly-sdk-nodejs");
    const storage = { storage_path: `countly/${port}`, clear_stored_id: true };
    countly.init({ app_key: "key", device_id: user, url: host, interval: 100, fail_timeout: 1, session_update: 600, ...storage });
    for (const [key, segmentation] of steps) countly.add_event({ key, segmentation });
    await pause(5_000);
  },
  async matomo_node() {
    const MatomoTracker = require("matomo-tracker");
    const client = new MatomoTracker(1, `${host}/matomo.php`);
    client.on("error", () => {});
    for (const [action_name] of steps.slice(0, 3)) {
      client.track({ url: "https://shop.test/", action_name, _id: "0123456789abcdef", uid: user, cdt: Math.floor(Date.now() / 1000) });
      await pause(300);
    }
    await pause(3_000);
  },
  async openpanel_node() {
    const { OpenPanel } = require("@openpanel/sdk");
    const client = new OpenPanel({ apiUrl: host, clientId: "id", clientSecret: "secret" });
    const at = () => new Date().toISOString(); // it sends a time only where the caller gives one
    for (const [name, properties] of steps) await client.track(name, { ...properties, profileId: user, __timestamp: at() });
  },
  async umami_node() {
    const { Umami } = require("@umami/node");
    const client = new Umami({ hostUrl: host, websiteId: "00000000-0000-4000-8000-000000000000" });
    for (const [name, data] of steps) await client.track(name, data).catch(() => {});
  },
};

process.on("unhandledRejection", () => {}); // some tell of a failure so, and go on
await SDKS[name]();
process.exit(0);
