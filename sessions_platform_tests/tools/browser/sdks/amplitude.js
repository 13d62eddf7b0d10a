import * as amplitude from "@amplitude/analytics-browser";

amplitude.init("key", { serverUrl: "https://collect.test/2/httpapi", fetchRemoteConfig: false });
window.tracker = {
  view: () => amplitude.track("view"),
  track: (step) => amplitude.track("step", { step }),
  login: (user) => amplitude.setUserId(user),
  logout: () => amplitude.reset(),
};
