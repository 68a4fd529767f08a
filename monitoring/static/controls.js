// Buttons that send a command to topic `control`. The token was printed when the page started.
const value = (id) => document.querySelector(`#${id}`).value;
const COMMANDS = {
  drift: () => ({ type: "drift", task: value("drift-task"), factor: Number(value("drift-factor")) }),
  fault: () => ({ type: "fault", kind: value("fault-kind"), rate: Number(value("fault-rate")), seconds: 7200 }),
  ramp: () => ({ type: "ramp", experiment: "demo", enrolled: Number(value("ramp-share")) }),
  lift: () => ({ type: "lift", arm: "treatment", task: "click", factor: 1.2 }),
  sample_ratio_mismatch: () => ({ type: "sampleratiomismatch", arm: "treatment", rate: 0.3 }),
  broker_pause: () => ({ type: "brokerpause", seconds: 10 }),
  flash_sale: () => ({ type: "flashsale", traffic_factor: 3, seconds: 7200 }),
};

export function connectControls(token) {
  document.querySelector("#token").value = token;
  const answer = document.querySelector("#control-answer");
  for (const button of document.querySelectorAll("[data-command]")) {
    button.onclick = async () => {
      const command = COMMANDS[button.dataset.command]();
      const response = await fetch("/api/control", {
        method: "POST", headers: { "Content-Type": "application/json", "X-Token": value("token") }, body: JSON.stringify(command),
      });
      const body = await response.json();
      answer.textContent = response.ok ? `${command.type} sent` : body.detail;
      answer.className = response.ok ? "good" : "bad";
    };
  }
  document.querySelector("#controls").onsubmit = (event) => event.preventDefault();
}
