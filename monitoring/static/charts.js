// Every chart over simulated time, with marks on all of them. Lines are named by the server (board.py).
import uPlot from "./vendor/uPlot.esm.js";

const TASKS = ["click", "cart", "purchase"];
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const perTask = (figure, maturity, extra = {}) =>
  TASKS.map((task) => ({ line: `${figure}/${task}/${maturity}`, label: `${task}${maturity === "matured" ? "" : ` ${maturity}`}`, color: `--${task}`, ...extra }));

// one style per kind of estimate on every chart: solid matured, dashed corrected, dotted estimated, dash-dot the truth
const CORRECTED = { dash: [8, 4] };
const ESTIMATED = { dash: [1, 4] };
const TRUTH = { dash: [8, 3, 1, 3], oracle: true };
const threeStates = (figure) =>
  [...perTask(figure, "matured"), ...perTask(figure, "corrected", CORRECTED), ...perTask(figure, "estimated", ESTIMATED)];

const CHARTS = {
  learning: { lines: [{ line: "truth/clicks", label: "clicks", color: "--click" }] },
  purchases: { lines: [{ line: "truth/purchases", label: "purchases", color: "--purchase" }] },
  calibration: { range: [0.5, 1.8], lines: [...perTask("calibration", "matured"), ...perTask("calibration", "corrected", CORRECTED)] },
  ne: { lines: [...threeStates("ne"), ...perTask("ne", "oracle", TRUTH)] },
  auc: { lines: [...threeStates("auc"), ...perTask("auc", "oracle", TRUTH)] },
  drift: { lines: TASKS.map((task) => ({ line: `drift/${task}`, label: task, color: `--${task}` })) },
  lag: { lines: [{ line: "lag/emit_p50_s", label: "p50 s", color: "--click" }, { line: "lag/emit_p99_s", label: "p99 s", color: "--bad" }] },
  watermark: { lines: [
    { line: "lag/watermark_s", label: "watermark h", color: "--accent", scale: 1 / 3600 },
    { line: "lag/impressions_open", label: "open, thousands", color: "--cart", scale: 1 / 1000 }] },
  freshness: { lines: [
    { line: "freshness/learned", label: "learned h", color: "--cart", scale: 1 / 3600 },
    { line: "freshness/published", label: "published h", color: "--click", scale: 1 / 3600 },
    { line: "freshness/served", label: "served h", color: "--purchase", scale: 1 / 3600 }] },
};
// what is rare and matters crosses the chart; what happens all the time is a tick at its foot
const MARK_COLORS = { alarm: "--bad", srm: "--bad", refused: "--bad", rollback: "--bad", truth: "--warn", ramp: "--accent", fault: "--warn" };
const TICK = 6;

export class Charts {
  constructor(state) {
    this.state = state;
    this.points = {};
    this.marks = [];
    this.plots = {};
    addEventListener("resize", () => this.redraw());
  }

  clear() { this.points = {}; this.marks = []; }

  add(series, marks) {
    for (const [name, [times, values]] of Object.entries(series)) {
      const line = (this.points[name] ||= { times: [], values: [] });
      line.times.push(...times.map((time) => time / 1000));
      line.values.push(...values);
    }
    this.marks = marks;
    this.update();
  }

  redraw() {
    for (const plot of Object.values(this.plots)) plot.destroy();
    this.plots = {};
    this.update();
  }

  lines(name) {
    return CHARTS[name].lines.filter((line) => this.state.oracle || !line.oracle);
  }

  data(name) {
    const lines = this.lines(name);
    const times = [...new Set(lines.flatMap(({ line }) => this.points[line]?.times || []))].sort((a, b) => a - b);
    const place = new Map(times.map((time, index) => [time, index]));
    const columns = lines.map(({ line, scale = 1 }) => {
      const column = new Array(times.length).fill(null);
      const points = this.points[line];
      if (points) points.times.forEach((time, index) => { column[place.get(time)] = points.values[index] * scale; });
      return column;
    });
    return [times, ...columns];
  }

  update() {
    for (const name of Object.keys(CHARTS)) {
      const holder = document.querySelector(`[data-chart=${name}]`);
      const data = this.data(name);
      if (data[0].length < 2) continue;
      if (!this.plots[name]) {
        holder.replaceChildren();
        this.plots[name] = new uPlot(this.options(name, holder), data, holder);
      } else {
        this.plots[name].setData(data);
      }
      // a canvas is opaque to tests and to screen readers: keep the newest values as text
      holder.dataset.last = JSON.stringify(data.slice(1).map((column) => column.findLast((value) => value !== null) ?? null));
    }
  }

  options(name, holder) {
    const axis = { stroke: () => css("--soft"), grid: { stroke: () => css("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
    return {
      width: holder.clientWidth, height: 160, legend: { live: true },
      cursor: { sync: { key: "time" }, drag: { x: true, y: false } },
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      scales: { y: CHARTS[name].range ? { range: (_, low, high) => [Math.max(CHARTS[name].range[0], Math.min(low, 0.9)), Math.min(CHARTS[name].range[1], Math.max(high, 1.1))] } : {} },
      axes: [axis, { ...axis, size: 46 }],
      series: [{ label: "at" }, ...this.lines(name).map(({ label, color, dash }) => ({
        label, stroke: () => css(color), dash, width: 1.6, spanGaps: true, points: { show: false },
        value: (_, value) => (value === null || value === undefined ? "–" : value.toPrecision(3)) }))],
      hooks: { draw: [(plot) => this.drawMarks(plot)] },
    };
  }

  drawMarks(plot) {
    const { ctx, bbox } = plot;
    ctx.save();
    for (const mark of this.marks) {
      const x = plot.valToPos(mark.event_time_ms / 1000, "x", true);
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      const rare = mark.kind in MARK_COLORS;
      ctx.strokeStyle = css(MARK_COLORS[mark.kind] || "--soft");
      ctx.lineWidth = rare ? 1.5 : 1;
      ctx.setLineDash(rare ? [4, 3] : []);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top + (rare ? 0 : bbox.height - TICK * devicePixelRatio));
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
    }
    ctx.restore();
  }
}
