import { clearUserData, newTracker, setUserId, trackPageView, trackStructEvent } from "@snowplow/browser-tracker";

newTracker("sp", "https://collect.test", { appId: "shop", ...OPTIONS });
window.tracker = {
  view: () => trackPageView(),
  track: (step) => trackStructEvent({ category: "shop", action: "step", label: step }),
  login: (user) => setUserId(user),
  logout: () => clearUserData(),
};
