"use strict";
// Shows what the chosen queue offers, only the durations that it and the size allow, what would start, and that a click was taken.
(() => {
  const all = (selector) => [...document.querySelectorAll(`.vre-launch ${selector}`)];
  const sizes = all('input[name="size"]:not([form])');
  const queues = all('input[name="queue"]:not([form])');
  const durations = all('input[name="walltime_hours"]:not([form])');
  const start = document.getElementById("start-session");
  const summary = document.getElementById("launch-summary");
  if (!start) return;
  let wanted = durations.find((duration) => duration.checked);
  let wantedSize = sizes.find((size) => size.checked);

  // A single queue is a hidden field, and always the chosen one.
  const chosenQueue = () => queues.find((queue) => queue.checked) ?? queues[0];
  const longest = (element) => Number(element?.dataset.maxHours || Infinity);

  const showQueue = (queue) => {
    for (const size of sizes) {
      if (!queue || !size.dataset.byQueue) continue;
      const now = JSON.parse(size.dataset.byQueue)[queue.value];
      const card = size.closest(".vre-card");
      const line = card.querySelector(".vre-card-now");
      line.className = `vre-card-now vre-card-now-${now.kind}`;
      line.querySelector("b").textContent = now.words;
      line.querySelector("small").textContent = now.detail;
      card.querySelector(".vre-card-longest span").textContent = now.longest;
      size.disabled = now.kind === "never";
      card.classList.toggle("vre-card-off", size.disabled);
    }
    const fitting = sizes.filter((size) => !size.disabled);
    const size = fitting.includes(wantedSize) ? wantedSize : fitting[0];
    for (const one of sizes) one.checked = one === size;
    return size;
  };

  const update = () => {
    const queue = chosenQueue();
    const size = showQueue(queue);
    const hours = Math.min(longest(size), longest(queue));
    for (const duration of durations) duration.disabled = Number(duration.value) > hours;
    const allowed = durations.filter((duration) => !duration.disabled);
    const chosen = wanted && !wanted.disabled ? wanted : allowed[allowed.length - 1];
    if (chosen) chosen.checked = true;
    start.disabled = !size;
    const words = chosen ? chosen.parentElement.textContent.trim() : "";
    const where = queues.length > 1 ? `, queue ${queue.value}` : "";
    summary.textContent = size ? `${size.dataset.summary}, ${words}${where}` : "No size fits into this queue.";
  };

  for (const queue of queues) queue.addEventListener("change", update);
  for (const size of sizes) {
    size.addEventListener("change", () => {
      wantedSize = size;
      update();
    });
  }
  for (const duration of durations) {
    duration.addEventListener("change", () => {
      wanted = duration;
      update();
    });
  }
  start.form?.addEventListener("submit", () => {
    start.disabled = true;
    start.textContent = "Starting…";
  });
  // The page may come back from the browser's memory with the button as it was left.
  window.addEventListener("pageshow", () => {
    start.disabled = false;
    start.textContent = "Start session";
    wanted = durations.find((duration) => duration.checked) ?? wanted;
    wantedSize = sizes.find((size) => size.checked) ?? wantedSize;
    update();
  });
})();
