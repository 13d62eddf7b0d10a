import { RudderAnalytics } from "@rudderstack/analytics-js/bundled";

const analytics = new RudderAnalytics();
analytics.load("key", "https://collect.test", { configUrl: "https://config.test", ...OPTIONS });
window.tracker = {
  view: () => analytics.page(),
  track: (step) => analytics.track("step", { step }),
  login: (user) => analytics.identify(user),
  logout: () => analytics.reset(),
};
