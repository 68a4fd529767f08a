// The loop as it is in docs/architecture.md, with live rates on its edges.
import { number, escape } from "./panels.js";

const NODES = {
  simulator: [60, 30, "simulator"], serving: [330, 30, "serving"], kafka: [600, 90, "Kafka"],
  joiner: [870, 30, "label joiner"], features: [870, 150, "features"],
  trainer: [600, 210, "trainer"], feature_store: [330, 150, "Feast"],
};
const EDGES = [
  ["simulator", "serving", "requests", "M190 55 H330"],
  ["serving", "kafka", null, "M460 60 L600 100"],
  ["simulator", "kafka", "events", "M125 80 Q 300 128 600 118"],
  ["kafka", "joiner", "samples", "M730 100 L870 62"],
  ["kafka", "features", "features", "M730 130 L870 165"],
  ["joiner", "trainer", "learned", "M1000 55 C 1130 55 1110 250 730 240"],
  ["features", "feature_store", null, "M870 185 Q 640 165 460 172"],
  ["feature_store", "serving", null, "M395 150 V80"],
  ["feature_store", "trainer", null, "M460 188 L600 228"],
  ["trainer", "serving", "bundles", "M600 250 Q 250 275 345 80"],
];
const LABELS = { requests: [260, 46], events: [215, 128], samples: [795, 64], features: [840, 126], learned: [935, 262], bundles: [245, 246] };
const OWNER = (instance, node) => instance === node || instance.startsWith(`${node}`) || instance === `streaming_${node}`;

export function drawLoop(holder, panels) {
  const { nodes, edges } = panels.loop;
  const states = Object.fromEntries(Object.keys(NODES).map((node) => [node, Object.entries(nodes).find(([instance]) => OWNER(instance.replace(/-\d+$/, ""), node) && !(node === "feature_store" ? false : instance.startsWith("feature_store") && node === "features"))?.[1]]));
  const drawn = EDGES.map(([, , rate, path]) => `<path class="edge ${rate === null || edges[rate] > 0 ? "flows" : ""}" d="${path}" marker-end="url(#arrow)"/>`);
  const labels = Object.entries(LABELS).map(([rate, [x, y]]) => `<text x="${x}" y="${y}" text-anchor="middle" class="soft" data-testid="rate-${rate}">${rate} ${number(edges[rate], 2)}/s</text>`);
  const boxes = Object.entries(NODES).map(([node, [x, y, title]]) => {
    const state = states[node];
    const kind = node === "kafka" ? "ready" : !state ? "" : state.ready && state.age_s < 10 ? "ready" : "away";
    return `<g data-testid="node-${node}"><rect class="node ${kind}" x="${x}" y="${y}" width="130" height="50" rx="8"/><text x="${x + 65}" y="${y + 30}" text-anchor="middle">${title}</text>
      <title>${escape(state ? state.status : "")}</title></g>`;
  });
  holder.innerHTML = `<svg viewBox="0 0 1090 285" role="img" aria-label="the loop with live rates" width="100%">
    <defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="var(--soft)"/></marker></defs>
    ${drawn.join("")}${boxes.join("")}${labels.join("")}
    <text x="1080" y="16" text-anchor="end" class="soft">gateway p50 ${number((panels.loop.request_p50_s ?? 0) * 1000, 2)} ms, p99 ${number((panels.loop.request_p99_s ?? 0) * 1000, 2)} ms · ${number(panels.loop.fallbacks)} fallbacks of ${number(panels.loop.requests)}</text></svg>`;
}
