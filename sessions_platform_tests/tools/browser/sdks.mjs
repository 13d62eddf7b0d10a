// The SDKs: what each is bundled from, which requests carry events, and what it is answered.
import { build } from "esbuild";
import { readFile } from "node:fs/promises";

const rudder = {
  source: {
    id: "source", name: "shop", writeKey: "key", enabled: true, workspaceId: "workspace", destinations: [],
    config: { statsCollection: { errors: { enabled: false }, metrics: { enabled: false } } },
    connections: [], dataplanes: {}, updatedAt: "2026-01-01T00:00:00.000Z",
  },
};

const rudderstack = {
  entry: "rudderstack", package: "@rudderstack/analytics-js", answer: (url) => (/sourceConfig/i.test(url) ? rudder : "OK"),
};
const snowplow = { entry: "snowplow", package: "@snowplow/browser-tracker", answer: () => "ok" };

// By name: the file in `sdks`, if it is called otherwise, with the value of its OPTIONS.
const SDKS = {
  amplitude: { package: "@amplitude/analytics-browser", answer: () => ({ code: 200 }) },
  posthog: { package: "posthog-js", answer: () => ({ status: 1 }), records: (url) => /collect\.test\/(e|i|batch)\//.test(url) },
  rudder_sdk_js: { package: "rudder-sdk-js", answer: rudderstack.answer },
  rudderstack: { ...rudderstack, options: {} },
  rudderstack_cut_off: { ...rudderstack, options: { sessions: { autoTrack: true, cutOff: { enabled: true } } } },
  snowplow_cookie: { ...snowplow, options: { stateStorageStrategy: "cookieAndLocalStorage" } },
  snowplow_local: { ...snowplow, options: { stateStorageStrategy: "localStorage" } },
};

export const NAMES = Object.keys(SDKS);

export async function sdk(name) {
  const { entry = name, package: from, answer, records, options } = SDKS[name];
  const bundled = await build({
    entryPoints: [new URL(`sdks/${entry}.js`, import.meta.url).pathname], bundle: true, format: "iife", write: false,
    logLevel: "error", define: { OPTIONS: JSON.stringify(options ?? {}) },
  });
  const { version } = JSON.parse(await readFile(new URL(`node_modules/${from}/package.json`, import.meta.url)));
  return {
    name, version: `${from} ${version}`, code: bundled.outputFiles[0].text, answer,
    records: records ?? ((url) => url.includes("collect.test")),
  };
}
