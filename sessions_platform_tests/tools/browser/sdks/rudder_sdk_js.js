import * as analytics from "rudder-sdk-js";

analytics.load("key", "https://collect.test", { configUrl: "https://config.test" });
window.tracker = {
  view: () => analytics.page(),
  track: (step) => analytics.track("step", { step }),
  login: (user) => analytics.identify(user),
  logout: () => analytics.reset(),
};
