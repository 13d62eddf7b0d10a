import posthog from "posthog-js";

posthog.init("key", {
  api_host: "https://collect.test", disable_compression: true, disable_external_dependency_loading: true,
  advanced_disable_flags: true, autocapture: false,
  opt_out_useragent_filter: true, // a browser that is driven counts as a robot
});
window.tracker = {
  view: () => posthog.capture("$pageview"),
  track: (step) => posthog.capture("step", { step }),
  login: (user) => posthog.identify(user),
  logout: () => posthog.reset(),
};
