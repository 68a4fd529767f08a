// Two small SVG drawings: completeness curves over log age, and the freshness waterfall.
import { duration, escape } from "./panels.js";

export function drawCompleteness(holder, curves) {
  const width = 600, height = 130, left = 34, bottom = 18;
  const low = Math.log(1), high = Math.log(86_400 * 1.05);
  const x = (seconds) => left + (width - left - 10) * (Math.log(Math.max(seconds, 1)) - low) / (high - low);
  const y = (share) => 6 + (height - bottom - 10) * (1 - share);
  const lines = Object.entries(curves).filter(([, curve]) => curve.share.length).map(([task, curve]) =>
    `<polyline fill="none" stroke="var(--${task})" stroke-width="2" points="${curve.share.map((share, index) => `${x(curve.age_s[index]).toFixed(1)},${y(share).toFixed(1)}`).join(" ")}"><title>${task}</title></polyline>`);
  const ticks = [[1, "1 s"], [60, "1 min"], [600, "10 min"], [3600, "1 h"], [21_600, "6 h"], [86_400, "1 d"]];
  const grid = ticks.map(([seconds, text]) => `<line x1="${x(seconds)}" x2="${x(seconds)}" y1="4" y2="${height - bottom}" stroke="var(--line)"/><text class="soft" x="${x(seconds)}" y="${height - 4}" text-anchor="middle">${text}</text>`);
  const shares = [0, 0.5, 1].map((share) => `<text class="soft" x="${left - 4}" y="${y(share) + 4}" text-anchor="end">${share * 100}%</text>`);
  holder.innerHTML = `<svg viewBox="0 0 ${width} ${height}" width="100%" role="img" aria-label="share of labels that arrived by age">${grid.join("")}${shares.join("")}${lines.join("")}</svg>`;
}

export function drawWaterfall(holder, stages) {
  const longest = Math.max(...stages.map((stage) => stage.age_s || 0), 1);
  const rows = stages.map((stage, index) => {
    const end = 560 * (stage.age_s || 0) / longest, step = 560 * (stage.step_s || 0) / longest;
    return `<text x="0" y="${index * 20 + 14}">${escape(stage.stage)}</text><rect x="${130 + end - step}" y="${index * 20 + 3}" width="${Math.max(step, 1)}" height="14" rx="3" fill="var(--accent)"/>
      <text class="soft" x="${136 + end}" y="${index * 20 + 14}">${duration(stage.age_s)}</text>`;
  });
  holder.innerHTML = `<svg viewBox="0 0 780 ${stages.length * 20 + 4}" width="100%" role="img" aria-label="age of the newest event at each stage">${rows.join("")}</svg>`;
}
