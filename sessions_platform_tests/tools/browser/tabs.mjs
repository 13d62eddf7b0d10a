// Two tabs of one Chromium, whose storage and cookies are really shared; only their clocks are moved.
//
// Cookies expire by Chromium's own clock, and at most 400 days from now. So what a page states as a cookie's end is kept
// here, and the cookie is removed once the clock of the pages has come to it.
import { chromium } from "playwright-core";
import { controlRandom } from "./random.mjs";

const MINUTE = 60_000;
const DRAIN = 8_000;
// Which tab is used, and minutes after the first one was opened. The first is silent for half an hour while the second is
// in use; then both are.
export const USES = [
  ["first", 1], ["second", 20], ["second", 35], ["first", 48], ["second", 53], ["first", 57],
  ["first", 100], ["second", 101], ["first", 102], ["second", 103],
];
// Chromium's own clock goes on: this day is still to come.
const START = Date.UTC(2031, 2, 3, 9);

export async function tabs(tracker, unwrapped) {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
  const context = await browser.newContext({ userAgent: "Chromium", locale: "en-US", timezoneId: "UTC" });
  const bodies = [];
  await context.route("**/*", (route) => answered(route, tracker, (text) => bodies.push(unwrapped(text))));
  const ends = new Map();
  await context.exposeBinding("cookieEnds", (_, name, at) => ends.set(name, at));
  const expire = async (now) => {
    for (const [name, at] of ends) if (at <= now) await context.clearCookies({ name });
  };
  const pages = {};
  for (const [seed, name] of ["first", "second"].entries()) pages[name] = await opened(context, tracker, seed + 1);
  const quiet = async () => {
    for (let before = -1; before < bodies.length; ) {
      before = bodies.length;
      for (const page of Object.values(pages)) await page.clock.runFor(DRAIN);
      await new Promise((done) => setTimeout(done, 150));
    }
  };
  await quiet();
  for (const [number, [name, minutes]] of USES.entries()) {
    await expire(START + minutes * MINUTE);
    for (const page of Object.values(pages)) await page.clock.pauseAt(START + minutes * MINUTE);
    await pages[name].evaluate((step) => window.tracker.track(step), `two_tabs ${String(number + 1).padStart(3, "0")}`);
    await quiet();
  }
  await browser.close();
  return bodies;
}

async function opened(context, tracker, seed) {
  const page = await context.newPage();
  await page.clock.install({ time: START - 10 * MINUTE });
  await page.addInitScript(`(${controlRandom})(window, ${seed})`);
  await page.addInitScript(tellCookieEnds);
  await page.goto("https://shop.test/");
  await page.clock.pauseAt(START);
  await page.evaluate(tracker.code);
  return page;
}

// In the page: says of each cookie that is set when it ends.
function tellCookieEnds() {
  const { get, set } = Object.getOwnPropertyDescriptor(Document.prototype, "cookie");
  Object.defineProperty(document, "cookie", {
    configurable: true,
    get: () => get.call(document),
    set: (text) => {
      set.call(document, text);
      const [, end] = /;\s*expires=([^;]+)/i.exec(text) ?? [];
      if (end) window.cookieEnds(text.slice(0, text.indexOf("=")), Date.parse(end));
    },
  });
}

async function answered(route, tracker, record) {
  const url = route.request().url();
  const text = route.request().postData();
  if (text && tracker.records(url)) record(text);
  const headers = {
    "access-control-allow-origin": "https://shop.test", "access-control-allow-credentials": "true",
    "access-control-allow-headers": "authorization, content-type, anonymousid, x-requested-with, sp-anonymous",
  };
  const page = { contentType: "text/html", body: "<title>Shop</title>" };
  const reply = { contentType: "application/json", headers, body: JSON.stringify(tracker.answer(url) ?? {}) };
  await route.fulfill(url.startsWith("https://shop.test") ? page : reply);
}
