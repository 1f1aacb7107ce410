// An application that uses each Node SDK: `node send.js SDK URL KEY`. Only host and key are set.

const VISIT = { url: "https://shop.example/basket?utm_source=news", title: "Basket" };
const ORDER = { order_id: "7", revenue: 14.99 };

async function segment(url, key) {
  const { Analytics } = require("@segment/analytics-node");
  const analytics = new Analytics({ writeKey: key, host: url });
  analytics.on("error", fail);
  analytics.identify({ userId: "ann", traits: { plan: "pro" } });
  analytics.page({ anonymousId: "a-1", name: "Basket", properties: VISIT });
  analytics.track({ userId: "ann", event: "Order Completed", properties: ORDER });
  analytics.group({ userId: "ann", groupId: "acme", traits: { size: 3 } });
  analytics.alias({ userId: "ann", previousId: "a-1" });
  await analytics.closeAndFlush();
}

async function rudder(url, key) {
  const Analytics = require("@rudderstack/rudder-sdk-node");
  const analytics = new Analytics(key, { dataPlaneUrl: url, errorHandler: fail });
  analytics.identify({ userId: "ann", traits: { plan: "pro" } });
  analytics.page({ anonymousId: "a-1", name: "Basket", properties: VISIT });
  analytics.screen({ anonymousId: "a-1", name: "Start" });
  analytics.track({ userId: "ann", event: "Order Completed", properties: ORDER });
  analytics.group({ userId: "ann", groupId: "acme", traits: { size: 3 } });
  analytics.alias({ userId: "ann", previousId: "a-1" });
  await new Promise((done) => analytics.flush((error) => (error ? fail(error) : done())));
}

async function posthog(url, key) {
  const { PostHog } = require("posthog-node");
  const client = new PostHog(key, { host: url });
  client.on("error", fail);
  client.capture({ distinctId: "ann", event: "$pageview", properties: { $current_url: VISIT.url, title: VISIT.title } });
  client.capture({ distinctId: "ann", event: "Order Completed", properties: ORDER });
  client.identify({ distinctId: "ann", properties: { plan: "pro" } });
  client.groupIdentify({ groupType: "company", groupKey: "acme", properties: { size: 3 } });
  client.alias({ distinctId: "ann", alias: "a-1" });
  if (await client.isFeatureEnabled("new-basket", "ann", { sendFeatureFlagEvents: false })) fail("a flag that nobody set");
  await client.shutdown();
}

async function snowplow(url, key) {
  const { newTracker, buildPageView, buildPagePing, buildStructEvent, buildSelfDescribingEvent } = require("@snowplow/node-tracker");
  const { protocol, hostname, port } = new URL(url);
  const failed = ({ message }) => fail(message);
  const endpoint = { endpoint: hostname, port: Number(port), protocol: protocol.replace(":", ""), bufferSize: 1 };
  const tracker = newTracker({ namespace: "node", appId: key }, { ...endpoint, onRequestFailure: failed });
  tracker.setUserId("ann");
  tracker.setDomainUserId("a-1");
  tracker.setSessionId("s-1");
  tracker.track(buildPageView({ pageUrl: VISIT.url, pageTitle: VISIT.title, referrer: "https://www.google.com/" }));
  tracker.track(buildPagePing({ pageUrl: VISIT.url, maxYOffset: 900 }));
  tracker.track(buildStructEvent({ category: "shop", action: "add", value: 2 }));
  const schema = "iglu:com.example/order_completed/jsonschema/1-0-0";
  tracker.track(buildSelfDescribingEvent({ event: { schema, data: ORDER } }));
  await tracker.flush();
}

async function umami(url, key) {
  const { Umami } = require("@umami/node");
  const client = new Umami({ hostUrl: url, websiteId: key });
  const page = { hostname: "shop.example", url: "/basket?utm_source=news", title: VISIT.title, screen: "1920x1080" };
  const answers = [
    await client.track(page),
    await client.track("Order Completed", ORDER),
    await client.identify({ plan: "pro" }),
  ];
  for (const answer of answers) if (!answer.ok || (await answer.json()).disabled) fail(`status ${answer.status}`);
}

function fail(problem) {
  console.error(problem);
  process.exit(1);
}

const [sdk, url, key] = process.argv.slice(2);
({ segment, rudder, posthog, snowplow, umami })[sdk](url, key).catch(fail);
