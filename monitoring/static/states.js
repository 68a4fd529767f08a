// Quality in its three states, in all, per segment and per model version; and what the model has kept of an old day.
import { escape, number, percent } from "./panels.js";

const TASKS = ["click", "cart", "purchase"];
const STATES = ["matured", "corrected", "estimated"];
const between = (pair, digits = 3) => (pair ? `<span class="soft">${number(pair[0], digits)} … ${number(pair[1], digits)}</span>` : "");

function line(task, state, name, figures) {
  const cell = (figure) => `<td class="number">${number(figures[figure])} ${between(figures[`${figure}_interval`])}</td>`;
  return `<tr class="state ${state}" data-testid="state-${task}-${state}${name ? `-${escape(name)}` : ""}">
    <td>${state}</td><td>${name ? escape(name) : "<b>all</b>"}</td><td class="number">${number(figures.rows)}</td>
    <td class="number">${percent(figures.base_rate)}</td>${["ne", "auc", "calibration"].map(cell).join("")}</tr>`;
}

export function drawStates(holder, quality) {
  const tables = TASKS.map((task) => {
    const found = quality.tasks[task];
    const rows = STATES.filter((state) => found[state]).flatMap((state) => [
      line(task, state, "", found[state]),
      ...found.parts.filter((part) => part.state === state).map((part) => line(task, state, part.name, part)),
    ]);
    const complete = found.completeness === null ? "" : ` · ${percent(found.completeness)} of labels have come when a row is first looked at`;
    return `<details ${task === "purchase" ? "open" : ""} data-task="${task}"><summary style="color: var(--${task})">${task}<span class="soft">${complete}</span></summary>
      <table><thead><tr><th>state</th><th>${escape(quality.segment)} or version</th><th class="number">rows</th><th class="number">rate</th>
      <th class="number">NE</th><th class="number">AUC</th><th class="number">calibration</th></tr></thead><tbody>${rows.join("")}</tbody></table></details>`;
  });
  const open = [...holder.querySelectorAll("details")].map((one) => [one.dataset.task, one.open]);
  holder.innerHTML = tables.join("");
  for (const [task, was] of open) holder.querySelector(`details[data-task=${task}]`).open = was;
}

export function drawForgetting(holder, forgetting) {
  if (!forgetting) { holder.textContent = ""; return; }
  const day = new Date(forgetting.day_ms).toISOString().slice(0, 10);
  const told = TASKS.filter((task) => forgetting.tasks[task]).map((task) => {
    const { then, now } = forgetting.tasks[task];
    return `${task} NE ${number(then)} then, <b class="${now > then + 0.02 ? "warn" : "good"}">${number(now)}</b> now`;
  });
  holder.innerHTML = `what the daily model has kept of ${day}: ${told.join(" · ")}`;
}
