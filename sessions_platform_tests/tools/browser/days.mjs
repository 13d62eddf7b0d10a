// What the people of a device do, and when: steps [milliseconds, action, argument], in the order of the actions.
//
// plain: what every SDK's rule shows in its events. hard: what it does not, one short scenario for each.
const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const GAP = 30 * MINUTE;

const day = (hours, ms = 0) => Date.UTC(2026, 2, 2) + hours * HOUR + ms;

class Script {
  constructor(at = 0, name = "") {
    Object.assign(this, { at, name, steps: [], tracked: 0 });
  }
  load(path = "/") {
    this.steps.push([this.at, "load", path]);
    return this;
  }
  then(action, silence = 0, ...args) {
    this.at += silence;
    this.steps.push([this.at, action, ...args]);
    return this;
  }
  track(silence = 0) {
    return this.then("track", silence, `${this.name}${String((this.tracked += 1)).padStart(3, "0")}`);
  }
  open(at, path) {
    this.at = at;
    return this.load(path).then("view");
  }
}

// Silences beside the gap, and beside the gap from the whole second of the event before.
function edges(script) {
  for (const [fraction, silences] of [
    [0, [GAP - 1, GAP, GAP + 1]],
    [250, [GAP - 251, GAP - 250, GAP - 1, GAP, GAP + 1]],
    [900, [GAP - 901, GAP - 900]],
  ]) {
    for (const silence of silences) {
      const next = Math.ceil((script.at + 5 * MINUTE) / SECOND) * SECOND + fraction;
      script.track(next - script.at).track(silence);
    }
  }
}

function first() {
  const script = new Script();
  script.open(day(6)).then("login", MINUTE, "ann").track(MINUTE);
  edges(script);
  script.open(day(20), "/?utm_source=mail&utm_campaign=spring").track(MINUTE);
  script.open(day(20, 10 * MINUTE), "/?utm_source=ads&utm_campaign=summer").track(MINUTE);
  script.open(day(23, 50 * MINUTE));
  return script.track(day(24, -1) - script.at).track(1).track(1).track(5 * MINUTE).steps;
}

// Active for more than a day: events a millisecond before, at and after 12 and 24 hours of its session.
function second() {
  const script = new Script();
  script.open(day(7));
  const start = script.at;
  for (const hours of [12, 24]) {
    while (script.at + 29 * MINUTE < start + hours * HOUR - 1) script.track(29 * MINUTE);
    script.track(start + hours * HOUR - 1 - script.at).track(1).track(1);
  }
  return script.track(MINUTE).steps;
}

// Each is of a device of its own; its name is before the numbers of its steps.
function scenario(name) {
  return new Script(day(9), `${name} `).load();
}

const hard = [
  scenario("log_in").track().then("login", MINUTE, "ann").track(MINUTE),
  scenario("other_user").then("login", 0, "ann").track(MINUTE).then("login", MINUTE, "bob").track(MINUTE),
  scenario("log_out").then("login", 0, "ann").track(MINUTE).then("logout", MINUTE).track(MINUTE).track(MINUTE),
  scenario("silent_page_load").track().then("load", 20 * MINUTE, "/").track(20 * MINUTE),
  scenario("clock_set_back").track().track(-40 * MINUTE).track(41 * MINUTE),
  scenario("last_millisecond").track(999).track(GAP - 999),
  active(scenario("start_before_first_event"), 2 * SECOND, 12 * HOUR - SECOND),
];

// Events until so long after the first one, which comes a while after the page.
function active(script, wait, length) {
  script.track(wait);
  const start = script.at;
  while (script.at + 29 * MINUTE < start + length) script.track(29 * MINUTE);
  return script.track(start + length - script.at);
}

export const DAYS = { plain: [first(), second()], hard: hard.map(({ steps }) => steps) };
