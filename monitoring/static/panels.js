// Tables and tiles. Every number carries a data-testid where a test reads it.
const TASKS = ["click", "cart", "purchase"];
export const number = (value, digits = 3) =>
  value === null || value === undefined ? "–" : Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en") : Number(value.toPrecision(digits)).toString();
export const percent = (value) => (value === null || value === undefined ? "–" : `${(100 * value).toFixed(1)} %`);
export const duration = (seconds) => {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 90) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  if (seconds < 5400) return `${(seconds / 60).toFixed(0)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
};
export const escape = (text) => String(text).replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);
const at = (ms) => new Date(ms).toISOString().slice(5, 16).replace("T", " ");
const near = (value, low, high) => (value === null || value === undefined ? "soft" : value >= low && value <= high ? "good" : "warn");

export function drawTasks(holder, panels, oracle) {
  holder.innerHTML = TASKS.map((task) => {
    const quality = panels.quality.tasks[task];
    const matured = quality.matured || {};
    const curve = panels.join.curves[task];
    const alarms = panels.quality.alarms.filter((alarm) => alarm.task === task).length;
    const truth = oracle && quality.true_calibration ? ` · against the truth ${number(quality.true_calibration)}` : "";
    return `<div class="tile" style="--task: var(--${task})" data-testid="tile-${task}">
      <h2>${task} <span class="${alarms ? "bad" : "soft"}">${alarms ? `${alarms} drift alarm${alarms > 1 ? "s" : ""}` : quality.drift_armed ? "no drift" : "warming up"}</span></h2>
      <dl>
        <div><dt>NE</dt><dd class="${near(matured.ne, 0, 1)}">${number(matured.ne)}</dd></div>
        <div><dt>AUC</dt><dd>${number(matured.auc)}</dd></div>
        <div><dt>calibration</dt><dd class="${near(matured.calibration, 0.9, 1.1)}">${number(matured.calibration)}</dd></div>
      </dl>
      <p>${number(matured.rows)} matured impressions, ${number(matured.positives)} positives, rate ${percent(matured.base_rate)}<br>
      half of the labels within ${duration(curve.p50_s)}, 95 % within ${duration(curve.p95_s)}${truth}</p>
    </div>`;
  }).join("");
}

export function drawJoin(holder, join) {
  const rows = TASKS.map((task) => {
    const counts = join.labels[task];
    const rest = join.labels_residual[task];
    return `<tr><td>${task}</td>${["in", "matched", "duplicate", "late", "orphan_expired", "waiting"].map((name) => `<td class="number">${number(counts[name])}</td>`).join("")}
      <td class="number ${rest === 0 ? "good" : "bad"}" data-testid="residual-${task}">${number(rest)}</td></tr>`;
  });
  const slates = join.slates;
  holder.innerHTML = `<p class="soft">emitted ${duration(join.emit_wall_p50_s)} (p50), ${duration(join.emit_wall_p99_s)} (p99) after due ·
    <span data-testid="open">${number(join.impressions_open)}</span> impressions open · ${number(join.dead_letters)} dead letters</p>
    <table><thead><tr><th>labels</th>${["in", "matched", "duplicate", "late", "orphans expired", "waiting", "in − out"].map((name) => `<th class="number">${name}</th>`).join("")}</tr></thead>
    <tbody>${rows.join("")}</tbody></table>
    <p class="soft">slates: ${number(slates.in)} in = ${number(slates.final)} final + ${number(slates.open)} open + ${number(slates.dropped)} dropped
    <span class="${join.slates_residual === 0 ? "good" : "bad"}">(${number(join.slates_residual)} left over)</span> ·
    rows: ${number(join.rows.observed)} observed, ${number(join.rows.corrected)} corrected, ${number(join.rows.final)} final</p>`;
}

function verdict(entry) {
  if (entry.refused) return escape(entry.refused);
  return entry.rolled_back ? `served again: ${escape(entry.rolled_back)}` : "published";
}

export function drawModels(holder, models) {
  const served = Object.entries(models.served).map(([arm, entry]) => `<tr><td>${escape(arm)}</td><td>${escape(entry.version)}</td><td class="number">${number(entry.load_ms)} ms</td></tr>`);
  const newest = models.newest.slice().reverse().map((entry) => `<tr><td>${escape(entry.version)}</td><td>${entry.kind}</td><td class="number">${number(entry.samples)}</td>
    <td class="${entry.refused || entry.rolled_back ? "bad" : "good"}">${verdict(entry)}</td></tr>`);
  holder.innerHTML = `<p class="soft"><b data-testid="swaps">${models.swapped}</b> swaps, ${models.refused} refused, ${models.bundles} bundles</p>
    <table><thead><tr><th>arm</th><th>serves</th><th class="number">loaded in</th></tr></thead><tbody>${served.join("")}</tbody></table>
    <h3>newest bundles</h3><table><thead><tr><th>version</th><th>kind</th><th class="number">samples</th><th></th></tr></thead><tbody>${newest.join("")}</tbody></table>`;
}

function interval(row) {
  if (row.low === null || !Number.isFinite(row.low)) return "";
  const clamp = (value) => Math.max(-0.5, Math.min(0.5, value));
  const x = (value) => 110 + 200 * clamp(value);
  const color = row.called ? (row.lift > 0 ? "var(--good)" : "var(--bad)") : "var(--soft)";
  return `<svg width="220" height="16" role="img" aria-label="interval ${percent(row.low)} to ${percent(row.high)}">
    <line x1="110" x2="110" y1="0" y2="16" stroke="var(--line)"/><line x1="${x(row.low)}" x2="${x(row.high)}" y1="8" y2="8" stroke="${color}" stroke-width="3"/>
    <circle cx="${x(row.lift)}" cy="8" r="4" fill="${color}"/></svg>`;
}

export function drawExperiments(holder, panels, oracle) {
  holder.innerHTML = panels.experiments.map((experiment) => {
    const truth = panels.truth.arms;
    const rows = experiment.metrics.map((row) => {
      const kind = row.metric.startsWith("clicks") ? "clicks" : row.metric.startsWith("purchases") ? "purchases" : null;
      const real = oracle && kind && truth[row.arm] && truth[row.baseline] ? truth[row.arm][kind] / truth[row.baseline][kind] - 1 : null;
      return `<tr><td>${row.metric}</td><td class="number">${number(row.baseline_value)}</td><td class="number">${number(row.value)}</td>
        <td class="number ${row.called ? (row.lift > 0 ? "good" : "bad") : ""}">${percent(row.lift)}</td>
        <td class="number soft">${percent(row.low)} … ${percent(row.high)}</td><td>${interval(row)}</td>${oracle ? `<td class="number soft">${real === null ? "" : percent(real)}</td>` : ""}</tr>`;
    });
    const arms = Object.entries(experiment.arms).map(([arm, users]) => `${escape(arm)}: ${number(users)} users`).join(", ");
    const bad = experiment.status.startsWith("unhealthy");
    return `<h3>${escape(experiment.experiment)} <span class="${bad ? "bad" : experiment.status === "ready" ? "good" : "soft"}" data-testid="status-${escape(experiment.experiment)}">${experiment.status}</span>
      <small>${arms} · SRM p ${number(experiment.srm_p)}</small></h3>
      <table><thead><tr><th>metric</th><th class="number">baseline</th><th class="number">variation</th><th class="number">lift</th><th class="number">interval</th><th></th>${oracle ? "<th class=\"number\">true lift</th>" : ""}</tr></thead><tbody>${rows.join("")}</tbody></table>`;
  }).join("") || "<p class=\"soft\">no experiment has data yet</p>";
}

export function drawMarks(holder, marks) {
  const colors = { alarm: "bad", srm: "bad", refused: "bad", rollback: "bad", truth: "warn" };
  holder.innerHTML = marks.slice(-40).reverse().map((mark) => `<li class="${colors[mark.kind] || ""}"><time>${at(mark.event_time_ms)}</time>${escape(mark.kind)}: ${escape(mark.text)}</li>`).join("");
}
