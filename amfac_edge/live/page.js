"use strict";
// The picture is a stream of its own; this asks for the figures, and starts the picture again when it broke off.
const picture = document.getElementById("picture");
const EVERY_MS = 1000;
const SILENT_S = 3;
let lost = false;
let restarts = 0;

const write = (id, text) => { document.getElementById(id).textContent = text; };
const number = (value, digits) => (value === null || value === undefined ? "-" : value.toFixed(digits));

// Figures of a camera, which a file doesn't have.
function offer(id, text) {
  write(id, text || "-");
  document.getElementById(id).parentElement.hidden = !text;
}

function say(text, silent) {
  write("state", text);
  document.body.classList.toggle("silent", silent);
}

function show(stats) {
  const stages = Object.entries(stats.stages_ms);
  const run = stats.run || {};
  write("people", stats.frame === null ? "-" : String(stats.people));
  write("fps", number(stats.fps, 1));
  write("busy", stages.length ? number(stages.reduce((sum, [, ms]) => sum + ms, 0), 1) : "-");
  offer("age", run.age_ms && number(run.age_ms.median, 0));
  offer("dropped", run.arrived ? `${run.dropped} of ${run.arrived}` : null);
  write("frame", stats.frame === null ? "-" : String(stats.frame));
  write("stages", stages.map(([name, ms]) => `${name} ${ms.toFixed(1)} ms`).join("  ·  "));
  if (stats.frame === null) say("no frame yet", true);
  else if (stats.since_frame_s > SILENT_S) say(`no new frame for ${stats.since_frame_s.toFixed(0)} s`, true);
  else say("live", false);
}

function restart() {
  restarts += 1;
  picture.src = `/stream.mjpg?${restarts}`;
}

async function ask() {
  if (document.hidden) return;
  try {
    const answer = await fetch("/stats.json", { signal: AbortSignal.timeout(4000) });
    if (answer.status === 401) { location.reload(); return; }
    if (!answer.ok) throw new Error(String(answer.status));
    show(await answer.json());
    if (lost) restart();
    lost = false;
  } catch {
    lost = true;
    say("no connection to the app", true);
  }
}

picture.addEventListener("error", () => { lost = true; });
// Nobody draws for a page that nobody sees.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) picture.removeAttribute("src");
  else { restart(); ask(); }
});
setInterval(ask, EVERY_MS);
ask();
