// The page: one stream in, panels and charts out. State that a reader may want to share lives in the URL.
import { Charts } from "./charts.js";
import { drawLoop } from "./loop.js";
import { drawCompleteness, drawWaterfall } from "./drawings.js";
import { drawExperiments, drawJoin, drawMarks, drawModels, drawTasks } from "./panels.js";
import { drawForgetting, drawStates } from "./states.js";
import { connectControls } from "./controls.js";

const url = new URL(location.href);
const state = { oracle: url.searchParams.get("oracle") !== "0", paused: false, marks: [], received: 0 };
const charts = new Charts(state);

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  localStorage.setItem("theme", theme);
  charts.redraw();
}

function setUrl(name, value) {
  if (value === null) url.searchParams.delete(name); else url.searchParams.set(name, value);
  history.replaceState(null, "", url);
}

function show(message) {
  if (message.full) { charts.clear(); state.marks = []; }
  state.marks.push(...message.marks);
  charts.add(message.series, state.marks);
  const panels = message.panels;
  if (panels.now_ms) {
    document.querySelector("[data-testid=clock]").textContent =
      new Date(panels.now_ms).toISOString().slice(0, 16).replace("T", " ");
  }
  if (panels.loop) {
    drawLoop(document.querySelector("#loop"), panels);
    drawTasks(document.querySelector("#tasks"), panels, state.oracle);
    drawStates(document.querySelector("#states"), panels.quality);
    drawForgetting(document.querySelector("#forgetting"), panels.forgetting);
    drawJoin(document.querySelector("[data-testid=join]"), panels.join);
    drawCompleteness(document.querySelector("#completeness"), panels.join.curves);
    drawWaterfall(document.querySelector("#waterfall"), panels.models.waterfall);
    drawModels(document.querySelector("[data-testid=models]"), panels.models);
    drawExperiments(document.querySelector("[data-testid=experiments]"), panels, state.oracle);
    drawMarks(document.querySelector("[data-testid=alarms]"), state.marks.filter((mark) => mark.kind === "alarm"));
    drawMarks(document.querySelector("[data-testid=marks]"), state.marks.filter((mark) => mark.kind !== "swap"));
  }
  document.body.dataset.seq = message.sequence;
}

function connect() {
  const stream = new EventSource("/api/stream");
  stream.onopen = () => { document.body.dataset.connection = "open"; };
  stream.onerror = () => { document.body.dataset.connection = "lost"; };
  stream.onmessage = (event) => {
    state.received = Date.now();
    if (!state.paused) show(JSON.parse(event.data)); else state.missed = true;
  };
  return stream;
}

let stream = connect();

function reconnect() {
  stream.close();
  stream = connect();
}

document.querySelector("#pause").onclick = (event) => {
  state.paused = !state.paused;
  event.target.setAttribute("aria-pressed", state.paused);
  event.target.textContent = state.paused ? "Go on" : "Pause";
  if (!state.paused && state.missed) { state.missed = false; reconnect(); }
};
document.querySelector("#theme").onclick = () =>
  setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
const oracle = document.querySelector("#oracle");
oracle.checked = state.oracle;
oracle.onchange = () => {
  state.oracle = oracle.checked;
  setUrl("oracle", oracle.checked ? null : "0");
  charts.redraw();
};

setInterval(() => {
  const badge = document.querySelector("[data-testid=age]");
  const age = state.received ? (Date.now() - state.received) / 1000 : null;
  const stale = age === null || age > 5;
  badge.textContent = state.paused ? "paused" : age === null ? "connecting" : stale ? `stale ${age.toFixed(0)} s` : "live";
  badge.className = `badge ${stale ? "stale" : "live"}`;
}, 500);

setTheme(url.searchParams.get("theme") || localStorage.getItem("theme")
  || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
const token = url.searchParams.get("token");
if (token) { sessionStorage.setItem("token", token); setUrl("token", null); }
connectControls(sessionStorage.getItem("token") || "");
