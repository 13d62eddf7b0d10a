// A browser whose clock stands until it is moved: jsdom, with the window's timers and dates, Node's dates (by which
// cookies expire), random numbers and the network all under control, so that two runs make the same bodies.
//
// A browser outlives its pages: cookies and localStorage go on when a page is loaded.
import FakeTimers from "@sinonjs/fake-timers";
import { CookieJar, JSDOM, VirtualConsole } from "jsdom";
import { controlRandom } from "./random.mjs";

const RealDate = Date;
let clock;

globalThis.Date = class extends RealDate {
  constructor(...parts) {
    super(...(parts.length || !clock ? parts : [clock.now]));
  }
  static now() {
    return clock ? clock.now : RealDate.now();
  }
};

const SITE = "https://shop.test";
// How long after an action timers fire one by one, and how long before the next one they do so again; what lies
// between is leapt over, as when a laptop sleeps.
const SETTLE = 5_000;
const WAKE = 1_000;

export class Browser {
  constructor(sdk, seed) {
    Object.assign(this, { sdk, bodies: [], seed, jar: new CookieJar(), stored: {} });
  }

  async load(at, path) {
    this.close();
    this.window = new JSDOM("<title>Shop</title><body></body>", {
      url: SITE + path, cookieJar: this.jar, virtualConsole: errorsOnly(), pretendToBeVisual: true, runScripts: "outside-only",
    }).window;
    for (const [key, value] of Object.entries(this.stored)) this.window.localStorage.setItem(key, value);
    this.clock = FakeTimers.withGlobal(this.window).install({ now: at });
    clock = this.clock;
    this.controlled(this.window);
    this.window.eval(this.sdk.code);
    await this.clock.tickAsync(0);
  }

  close() {
    if (!this.window) return;
    this.window.dispatchEvent(new this.window.Event("beforeunload"));
    this.window.dispatchEvent(new this.window.Event("pagehide"));
    const { localStorage } = this.window;
    this.stored = Object.fromEntries(Object.keys(localStorage).map((key) => [key, localStorage.getItem(key)]));
    this.clock.uninstall();
    this.window.close();
    clock = undefined;
  }

  async until(at) {
    clock = this.clock;
    const silence = at - this.clock.now;
    if (silence < 0) this.clock.setSystemTime(at); // the user sets the clock back
    else if (silence <= SETTLE + WAKE) await this.clock.tickAsync(silence);
    else {
      await this.clock.tickAsync(SETTLE);
      this.clock.jump(at - WAKE - this.clock.now);
      await this.clock.tickAsync(at - this.clock.now);
    }
  }

  async call(action, ...args) {
    clock = this.clock;
    this.window.tracker[action](...args);
    await this.clock.tickAsync(0);
  }

  controlled(window) {
    this.seed = controlRandom(window, this.seed)();
    const record = (url, body) => this.answer(String(url), body);
    window.fetch = (to, options = to) => record(to.url ?? to, options.body).then((reply) => response(to.url ?? to, reply));
    window.Request = class {
      constructor(url, options) {
        Object.assign(this, options, { url });
      }
    };
    window.navigator.sendBeacon = (url, body) => (record(url, body), true);
    window.XMLHttpRequest = requests(record);
    Object.assign(window, { TextEncoder, TextDecoder, Response, Headers });
  }

  async answer(url, body) {
    const text = typeof body === "string" || body == null ? body : await textOf(body);
    const reply = this.sdk.answer(url);
    if (text && this.sdk.records(url)) this.bodies.push(unwrapped(text));
    return JSON.stringify(reply ?? {});
  }
}

// What an SDK says (one that it is deprecated, at each page) is left out; what it throws is not.
const errorsOnly = () => new VirtualConsole().on("jsdomError", (error) => console.error(error));

const response = (url, text) => ({
  ok: true, status: 200, url: String(url), headers: new Headers(), text: async () => text, json: async () => JSON.parse(text),
});

// The body that PostHog sends as its page is closed is a form, whose one field has the JSON in base64.
export const unwrapped = (text) =>
  text.startsWith("data=") ? Buffer.from(decodeURIComponent(text.slice(5)), "base64").toString() : text;

// jsdom's Blob gives its bytes to a FileReader alone.
const textOf = async (body) => {
  if (typeof body.text === "function") return body.text();
  if (body instanceof Uint8Array) return new TextDecoder().decode(body);
  return String(body);
};

const requests = (record) =>
  class {
    constructor() {
      Object.assign(this, { readyState: 0, status: 0, responseText: "", response: "", upload: {}, listeners: {} });
    }
    open(method, url) {
      this.url = url;
    }
    setRequestHeader() {}
    getAllResponseHeaders() {
      return "";
    }
    getResponseHeader() {
      return null;
    }
    abort() {}
    addEventListener(name, listener) {
      (this.listeners[name] ??= []).push(listener);
    }
    send(body) {
      record(this.url, body).then((text) => {
        Object.assign(this, { readyState: 4, status: 200, statusText: "OK", responseText: text, response: text });
        for (const name of ["readystatechange", "load", "loadend"]) {
          this[`on${name}`]?.({ type: name, target: this });
          for (const listener of this.listeners[name] ?? []) listener.call(this, { type: name, target: this });
        }
      });
    }
  };
